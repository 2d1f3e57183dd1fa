"""Delivery: epochs of forecasts to every sink, dead letters to the run's folder, nothing lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_result,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from gapcast.engine.errors import SinkError
from gapcast.engine.readings import dead_letters
from gapcast.engine.sink import Outcome, Receives, Refused, Retry, Sink
from gapcast.engine.storage import replace

log = logging.getLogger("gapcast.delivery")

DEAD_ROWS = 200_000
"""Dead letters are written when so many have gathered, and at the end of every epoch."""


class DeadLetters:
    """Parquet files of schema `DEAD_LETTERS` in a folder of the run's."""

    def __init__(self, folder: Path, files: int = 0) -> None:
        """Go on after so many `files`; later ones, of a run that died, are removed."""
        self.folder = folder
        self.files = files
        self.deliver: Callable[[int, pa.Table], None] = lambda number, letters: None
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._lock = threading.Lock()  # the reader adds, the writer of epochs flushes
        remove_parts(folder, files)

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep a batch; it is durable after the next `flush`."""
        if len(batch):
            with self._lock:
                self._batches.append(batch)
                self._rows += len(batch)
        if self._rows >= DEAD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered to one more file, and have it delivered too."""
        with self._lock:
            if not self._batches:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_batches(self._batches).unify_dictionaries()
            write_parquet(table, self.folder / f"part-{self.files:06d}.parquet")
            self._batches, self._rows = [], 0
            self.files += 1
            self.deliver(self.files - 1, table)


def remove_parts(folder: Path, files: int) -> None:
    """Remove the files ``part-N`` of `folder` from number `files` on."""
    for path in folder.glob("part-*.parquet"):
        if int(path.stem.removeprefix("part-")) >= files:
            path.unlink()


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write `table` to `path`, whole and durable or not at all."""
    replace(path, lambda file: pq.write_table(table, file, compression="zstd", store_schema=False))


class Delivery:
    """Writes epochs to the sinks, one after the other, each until its outcome is final."""

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        dead: DeadLetters,
        stopping: threading.Event,
    ) -> None:
        self.sinks = {n: s for n, s in sinks.items() if s.receives is Receives.FORECASTS}
        self._for_dead = {n: s for n, s in sinks.items() if s.receives is Receives.DEAD_LETTERS}
        self.dead = dead
        dead.deliver = self._deliver_dead
        self.epoch = 0
        self.rows = 0
        self._stopping = stopping

    def write(self, forecasts: pa.Table) -> None:
        """Deliver the next epoch to every sink. Raises `SinkError` when one cannot take it."""
        self.dead.flush()
        for name, sink in self.sinks.items():
            self._deliver(name, sink, forecasts)
        self.epoch += 1
        self.rows += len(forecasts)

    def close(self) -> None:
        """Flush the dead letters and let the sinks go."""
        try:
            self.dead.flush()
        finally:
            for sink in (*self.sinks.values(), *self._for_dead.values()):
                sink.close()

    def _deliver(self, name: str, sink: Sink, forecasts: pa.Table) -> None:
        outcome = self._attempt(name, sink, self.epoch, forecasts)
        if not isinstance(outcome, Refused):
            return
        keep = np.ones(len(forecasts), bool)
        keep[outcome.rows] = False
        self.dead.add(_refused(name, forecasts.take(outcome.rows), outcome.reasons))
        self.dead.flush()
        log.warning(
            "sink %s refused %d rows, kept in %s", name, len(outcome.rows), self.dead.folder
        )
        again = self._attempt(name, sink, self.epoch, forecasts.filter(pa.array(keep)))
        if isinstance(again, Refused):
            raise SinkError(
                f"sink {name!r} refused rows again after the refused ones were left out"
            )

    def _deliver_dead(self, number: int, letters: pa.Table) -> None:
        for name, sink in self._for_dead.items():
            outcome = self._attempt(name, sink, number, letters)
            if isinstance(outcome, Refused):
                log.warning(
                    "sink %s refused %d dead letters, which stay in %s: %s",
                    name, len(outcome.rows), self.dead.folder, outcome.reasons[0],
                )  # fmt: skip

    def _attempt(self, name: str, sink: Sink, epoch: int, table: pa.Table) -> Outcome:
        """Call the sink until it answers anything but `Retry`, waiting longer each time."""

        def tell(state: RetryCallState) -> None:
            assert state.outcome is not None
            reason = state.outcome.result().reason
            log.warning("sink %s asks to be tried again: %s", name, reason)

        retrying = Retrying(
            retry=retry_if_result(lambda outcome: isinstance(outcome, Retry)),
            wait=wait_random_exponential(multiplier=0.1, max=30),
            stop=stop_when_event_set(self._stopping),
            sleep=sleep_using_event(self._stopping),
            before_sleep=tell,
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        outcome: Outcome = retrying(sink.write, epoch, table)
        if isinstance(outcome, Retry):
            raise SinkError(
                f"sink {name!r} had not taken epoch {epoch} when the run stopped: {outcome.reason}"
            )
        return outcome


def _refused(name: str, rows: pa.Table, reasons: list[str]) -> pa.RecordBatch:
    known = {column: rows[column] for column in ("time", "sensor", "quantity")}
    why = [f"sink {name}: {reason}" for reason in reasons]
    return dead_letters(why, f"sink {name}", value=rows["forecast"], **known)
