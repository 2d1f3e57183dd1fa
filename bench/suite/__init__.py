"""A suite of unlike networks: sets, gap patterns, peers, scores. `bench/networks.py` runs it."""
