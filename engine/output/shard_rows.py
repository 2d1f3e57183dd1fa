"""One shard's rows: made beside it, and stored as its part of every epoch."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
import pyarrow as pa

from gapcast.engine.grid.silence import Silence
from gapcast.engine.output.rows import Rows
from gapcast.engine.parallel.writing import Prepared, Writing
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.results import StepResult
from gapcast.engine.sink import Retry, SinkPart, is_ahead


class ShardRows:
    """Holds what a shard makes of frames until the coordinator says where an epoch ends.

    number: of the shard; plan: the shard's own. One thread may add while another one prepares.
    """

    def __init__(self, writing: Writing, plan: Plan, number: int) -> None:
        layout, grid = plan.layouts[0], writing.spec()
        self._silence = Silence(grid.max_gap)
        targets = [layout.series[column] for column in layout.targets]
        self._stages = writing.taken()
        self._shadows = [model.name for model in plan.models if model.shadow]
        ahead = any(of.ahead for of in self._stages.values())
        self._rows = Rows(targets, plan.models, grid, self._silence, ahead)
        self._writers: dict[str, SinkPart] = writing.writers(number)
        self._held: deque[StepResult] = deque()
        self._lock = threading.Lock()
        self._epoch: tuple[int, int] | None = None
        self._count = self._final = 0
        self._waiting: set[str] = set()
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
            self._epoch, self._prepared = (epoch, until), {}
            self._count, self._final = len(table), len(table) - int(is_ahead(table).sum())
            self._waiting = {name for name in self._writers if self._write(name, epoch, table)}
        retry = {}
        for name in sorted(self._waiting):
            answer = self._writers[name].prepare(epoch)
            if isinstance(answer, Retry):
                retry[name] = answer.reason, answer.patience
            else:
                self._prepared[name] = answer
        self._waiting = {*retry}
        return Prepared(self._count, self._final, dict(self._prepared), retry)

    def _write(self, name: str, epoch: int, table: pa.Table) -> bool:
        """Give a sink's writer the rows that it takes; False where there are none."""
        taken = self._stages[name].of(table, self._shadows)
        if len(taken):
            self._writers[name].write(epoch, taken)
        return len(taken) > 0

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
