"""The average of neighbours, smoothed."""
