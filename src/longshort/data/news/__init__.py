"""Headlines, messages and indices, each with the instant from which it could be known."""
