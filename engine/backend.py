"""The contract of a backend: where a job runs. It moves bytes; it decides nothing about data."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from gapcast.engine.plugin import Plugin

if TYPE_CHECKING:
    from gapcast.engine.flow import RunResult
    from gapcast.engine.job import Job


class Backend(Plugin):
    """Runs a job to the end of its sources, or until it is asked to stop.

    What it moves: batches of readings from the source into `Ingest`, frames from there to the
    shards, tables of forecasts from the shards to `Delivery`. Those three are the engine's and
    the same everywhere; their order of steps is the backend's only duty: one shard's frames in
    order, one epoch's outcome before the next, no unbounded queue anywhere in between.
    """

    @abstractmethod
    def run(self, job: Job) -> RunResult:
        """Run `job` and say how it went. Raises `GapcastError`; never leaves threads behind."""
