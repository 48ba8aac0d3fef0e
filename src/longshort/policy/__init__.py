"""A belief becomes a wish: sizing, limits, the pilot, the money ledger, rival strategies."""
