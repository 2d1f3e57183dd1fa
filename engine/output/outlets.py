"""Outlets: where the results of an epoch become rows, and how these reach the sinks."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa

from gapcast.engine.grid.silence import Silence
from gapcast.engine.output import attempts
from gapcast.engine.output.delivery import SinkWriter
from gapcast.engine.output.rows import Rows
from gapcast.engine.parallel.writing import Prepared
from gapcast.engine.shard.results import Stepped, StepResult
from gapcast.engine.sink import Retry

Result = TypeVar("Result", StepResult, Stepped)

Ask = Callable[[int, int, dict[str, Any]], list[Prepared]]
"""`Workers.prepare`."""


class Outlet(ABC, Generic[Result]):
    """Takes one epoch after the other, each in two calls between which its end is noted."""

    @abstractmethod
    def prepare(self, epoch: int, results: Sequence[Result]) -> int:
        """Make the rows of an epoch; how many there are."""

    @abstractmethod
    def commit(self) -> None:
        """Deliver what was prepared last, as the next epoch."""


class RowsHere(Outlet[StepResult]):
    """Rows are made at the coordinator, and it writes them to every sink."""

    def __init__(self, rows: Rows, delivery: SinkWriter) -> None:
        self._rows, self._delivery = rows, delivery
        self._table = pa.table({})

    def prepare(self, epoch: int, results: Sequence[StepResult]) -> int:
        """Join the results and make rows of them."""
        self._table = self._rows.table(StepResult.joined(results, np.concatenate))
        return len(self._table)

    def commit(self) -> None:
        """Write the rows."""
        self._delivery.write(self._table)


class RowsThere(Outlet[Stepped]):
    """Rows are made and stored beside the shards, and committed here."""

    def __init__(
        self, ask: Ask, silence: Silence, delivery: SinkWriter, stopping: threading.Event
    ) -> None:
        self._ask, self._silence = ask, silence
        self._delivery, self._stopping = delivery, stopping
        self._parts: list[Prepared] = []

    def prepare(self, epoch: int, results: Sequence[Stepped]) -> int:
        """Have every shard store its part."""
        until = results[-1].first + len(results[-1])
        silence = self._silence.snapshot()

        def ask() -> list[Prepared] | Retry:
            parts = self._ask(epoch, until, silence)
            asking = [Retry(*retry) for part in parts for retry in part.retry.values()]
            return asking[0] if asking else parts

        name = " and ".join(self._delivery.sinks)
        self._parts = attempts.again(name, epoch, ask, self._stopping)
        return sum(part.rows for part in self._parts)

    def commit(self) -> None:
        """Commit the parts in every sink."""
        self._delivery.commit(self._parts)
