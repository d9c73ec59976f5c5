"""Beside requests: group commit, rollups, monitor states, overviews, observer, scheduled jobs."""
