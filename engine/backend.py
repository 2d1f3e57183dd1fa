"""The contract of a backend: where the shards of a job live. It moves bytes; it decides nothing
about data."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager

from gapcast.engine.parallel.workers import Work, Workers
from gapcast.engine.plugin import Plugin


class Backend(Plugin):
    """Holds the shards of a job in workers of its own, on this machine or on others.

    The run's loop (`gapcast.engine.run.loop`) reads, grids, scores and delivers; the backend's
    workers are sent the frames and answer with results. Its only duty is their order: one shard's
    frames in order, results in the order of the frames, no unbounded queue in between.
    """

    batch: int = 262_144
    """Readings asked of the source at once, from which frames are made."""

    linger: float = 0.0
    """Seconds for which smaller reads are gathered to a batch: where carrying one costs more than
    waiting for its rest."""

    @abstractmethod
    def workers(self, work: Work) -> AbstractContextManager[Workers]:
        """Workers that hold the shards of `work`, until the context is left.

        Entered once more after ShardsLost, with the same job as its newest checkpoint has it: it
        may then use the workers that are left. Leaving it, however that happens, leaves no thread
        behind. Raises `GapcastError`.
        """

    def close(self) -> None:
        """End the processes this backend has started. Called once, after the last workers."""
