"""What a row of a run was made of: the run is played again up to it, and its model asked."""

from gapcast.engine.explaining.explain import Explained, explain

__all__ = ["Explained", "explain"]
