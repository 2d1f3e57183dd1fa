"""Each target regressed on its neighbours."""
