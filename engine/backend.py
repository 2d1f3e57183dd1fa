"""The contract of a backend: where a job runs. It moves bytes; it decides nothing about data."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from gapcast.engine.plugin import Plugin

if TYPE_CHECKING:
    from gapcast.engine.run.job import Job
    from gapcast.engine.run.loop import RunResult


class Backend(Plugin):
    """Runs a job to the end of its sources, or until it is asked to stop.

    What it moves: frames from the job's `Flow` to the shards, wherever they live, and results back
    (`carry` does it, given `Workers`). Its only duty is their order: one shard's frames in order,
    results in the order of the frames, no unbounded queue in between.

    `run` raises ShardsLost when workers died with the shards they held: it is then called again,
    with the same job as its newest checkpoint has it, and may use the workers that are left.
    """

    @abstractmethod
    def run(self, job: Job) -> RunResult:
        """Run `job` and say how it went. Raises `GapcastError`; never leaves threads behind."""

    def close(self) -> None:
        """End the processes this backend has started. Called once, after the last `run`."""
