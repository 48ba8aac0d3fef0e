"""The outside world: guarded exchanges, archives and feeds; the only home of ccxt."""
