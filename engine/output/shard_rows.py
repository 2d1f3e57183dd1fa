"""One shard's rows: made beside it, and stored as its part of every epoch."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from gapcast.engine.grid.silence import Silence
from gapcast.engine.output.rows import Rows
from gapcast.engine.parallel.writing import Prepared, Writing
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.results import StepResult
from gapcast.engine.sink import Retry, SinkPart


class ShardRows:
    """Holds what a shard makes of frames until the coordinator says where an epoch ends.

    number: of the shard; plan: the shard's own. One thread may add while another one prepares.
    """

    def __init__(self, writing: Writing, plan: Plan, number: int) -> None:
        layout, grid = plan.layouts[0], writing.spec()
        self._silence = Silence(grid.max_gap)
        targets = [layout.series[column] for column in layout.targets]
        self._rows = Rows(targets, plan.models, grid, self._silence, ahead=False)
        self._writers: dict[str, SinkPart] = writing.writers(number)
        self._held: deque[StepResult] = deque()
        self._lock = threading.Lock()
        self._epoch: tuple[int, int] | None = None
        self._count = 0
        self._prepared: dict[str, Any] = {}

    def add(self, result: StepResult) -> None:
        """Take what the shard made of the next frame."""
        with self._lock:
            self._held.append(result)

    def prepare(self, epoch: int, until: int, silence: dict[str, Any]) -> Prepared:
        """Store the rows of all steps held that lie before `until`, not yet to be seen.

        silence: the coordinator's `Silence.snapshot`. Asked again for the same epoch, tries again
        where a sink has not prepared it.
        """
        if self._epoch != (epoch, until):
            self._silence.restore(silence)
            table = self._rows.table(StepResult.joined(self._take(until), np.concatenate))
            self._epoch, self._count, self._prepared = (epoch, until), len(table), {}
            for writer in self._writers.values() if self._count else ():
                writer.write(epoch, table)
        retry = {}
        for name, writer in self._writers.items() if self._count else ():
            if name not in self._prepared:
                answer = writer.prepare(epoch)
                if isinstance(answer, Retry):
                    retry[name] = answer.reason
                else:
                    self._prepared[name] = answer
        return Prepared(self._count, dict(self._prepared), retry)

    def _take(self, until: int) -> list[StepResult]:
        with self._lock:
            taken = []
            while self._held and self._held[0].first < until:
                result = self._held.popleft()
                if result.first + len(result) > until:
                    result, rest = result.cut(until - result.first)
                    self._held.appendleft(rest)
                taken.append(result)
            return taken
