"""Compiled loops of the shards."""
