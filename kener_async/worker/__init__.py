"""What runs beside requests: the group commit, the rollups, the observer, the scheduled jobs."""
