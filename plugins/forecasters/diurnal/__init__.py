"""The day's course, fitted as it goes."""
