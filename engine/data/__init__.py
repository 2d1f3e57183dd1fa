"""Data sets: a simulated lab, and fetching the real one."""
