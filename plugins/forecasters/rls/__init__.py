"""Each target regressed on its own past."""
