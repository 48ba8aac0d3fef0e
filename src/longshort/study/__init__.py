"""Is it true? Folds, walk-forward, metrics, significance, verdicts, the trial log."""
