"""Forecasters weighed by what they have been worth."""
