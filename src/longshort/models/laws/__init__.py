"""Laws of log returns beside the Student-t of `models.forecast`: skewed, mixed, and drawn through quantiles."""
