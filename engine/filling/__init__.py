"""Whole records filled: the same models forwards and backwards, joined within each gap."""
