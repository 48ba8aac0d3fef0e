"""What every room shares and what imports nothing of ours: records, errors, time, jobs, journal."""
