"""Shards somewhere else: how targets are shared out, and what travels."""
