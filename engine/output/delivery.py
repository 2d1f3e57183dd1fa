"""Delivery: epochs of forecasts to every sink, one after the other, nothing lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from gapcast.engine.errors import SinkError
from gapcast.engine.output import attempts
from gapcast.engine.output.dead_letters import DeadLetters
from gapcast.engine.parallel.writing import Prepared
from gapcast.engine.readings import dead_letters
from gapcast.engine.sink import ParallelSink, Receives, Rejected, Sink, is_ahead

log = logging.getLogger("gapcast.delivery")


class SinkWriter:
    """Writes epochs to the sinks that receive forecasts, each until its outcome is final.

    epoch, rows: how many epochs and final rows were delivered before. shadows: models whose rows
    only sinks that ask for them are given.
    """

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        dead_letters: DeadLetters,
        stopping: threading.Event,
        epoch: int = 0,
        rows: int = 0,
        shadows: Sequence[str] = (),
    ) -> None:
        self.sinks = {n: s for n, s in sinks.items() if s.receives is Receives.FORECASTS}
        self.dead_letters = dead_letters
        self.epoch = epoch
        self.rows = rows
        self._stopping = stopping
        self._shadows = shadows

    def write(self, forecasts: pa.Table) -> None:
        """Deliver the next epoch to every sink. Raises `SinkError` when one cannot take it."""
        self.dead_letters.flush()
        for name, sink in self.sinks.items():
            taken = sink.stages.of(forecasts, self._shadows)
            if len(taken):
                self._deliver(name, sink, taken)
        self.epoch += 1
        self.rows += len(forecasts) - int(np.count_nonzero(is_ahead(forecasts)))

    def commit(self, parts: Sequence[Prepared]) -> None:
        """Commit the next epoch, which shards have prepared, in every sink, all `ParallelSink`.
        Raises `SinkError` when one cannot."""
        self.dead_letters.flush()
        for name, sink in self.sinks.items():
            assert isinstance(sink, ParallelSink)
            of = [part.committables[name] for part in parts if name in part.committables]
            if not of:
                continue
            outcome = attempts.again(
                name, self.epoch, partial(sink.commit, self.epoch, of), self._stopping
            )
            if isinstance(outcome, Rejected):
                raise SinkError(f"sink {name!r} rejected rows that it had prepared")
        self.epoch += 1
        self.rows += sum(part.final for part in parts)

    def close(self) -> None:
        """Flush the dead letters and let the sinks go."""
        try:
            self.dead_letters.close()
        finally:
            for sink in self.sinks.values():
                sink.close()

    def _deliver(self, name: str, sink: Sink, forecasts: pa.Table) -> None:
        outcome = attempts.write(name, sink, self.epoch, forecasts, self._stopping)
        if not isinstance(outcome, Rejected):
            return
        keep = np.ones(len(forecasts), bool)
        keep[outcome.rows] = False
        self.dead_letters.add(_rejected(name, forecasts.take(outcome.rows), outcome.reasons))
        self.dead_letters.flush()
        log.warning(
            "sink %s rejected %d rows, which are in %s",
            name, len(outcome.rows), self.dead_letters.folder,
        )  # fmt: skip
        rest = forecasts.filter(pa.array(keep))
        again = attempts.write(name, sink, self.epoch, rest, self._stopping)
        if isinstance(again, Rejected):
            raise SinkError(
                f"sink {name!r} rejected rows again after the rejected ones were left out"
            )


def _rejected(name: str, rows: pa.Table, reasons: list[str]) -> pa.RecordBatch:
    known = {column: rows[column] for column in ("time", "sensor", "quantity")}
    why = [f"sink {name}: {reason}" for reason in reasons]
    return dead_letters(why, f"sink {name}", value=rows["forecast"], **known)
