"""A run watched while it goes: a page, figures for Prometheus, the same as JSON."""
