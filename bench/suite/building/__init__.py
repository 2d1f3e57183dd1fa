"""Builds the sets from what packages ship inside themselves, and from simulations.

Runs in an environment of its own (`make suite`), which has those packages and not gapcast. Nothing
is downloaded but the packages; nothing of what they ship is passed on.
"""
