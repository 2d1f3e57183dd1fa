"""Compiled loops of the grid."""
