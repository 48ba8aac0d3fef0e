"""A window becomes a belief: networks and their simpler rivals. The only home of torch."""
