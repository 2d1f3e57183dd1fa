"""Dead letters: what was not used, to the run's folder and to the sinks that ask for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from gapcast.engine.output import attempts
from gapcast.engine.output.parts import Parts
from gapcast.engine.output.unused import Unused
from gapcast.engine.sink import Receives, Rejected, Sink

log = logging.getLogger("gapcast.delivery")


class DeadLetters:
    """Gathers batches of schema `DEAD_LETTERS` and writes them to numbered files in `folder`.

    sinks: of these, the ones that receive dead letters are given each file's rows, too. files: how
    many there are to go on after; later ones, of a run that died, are removed. most: rows that may
    gather before they are written; they also are at the end of every epoch. unused: the
    `Unused.snapshot` to go on from.
    """

    def __init__(
        self,
        folder: Path,
        sinks: Mapping[str, Sink],
        stopping: threading.Event,
        files: int = 0,
        most: int = 200_000,
        unused: Iterable[dict[str, Any]] = (),
    ) -> None:
        self.folder = folder
        self.unused = Unused(unused)
        self.sinks = {n: s for n, s in sinks.items() if s.receives is Receives.DEAD_LETTERS}
        self._parts = Parts(folder, files)
        self._stopping = stopping
        self._most = most
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._lock = threading.Lock()  # the reader adds, the writer of epochs flushes

    @property
    def files(self) -> int:
        """How many files have been written."""
        return self._parts.files

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch; it is durable after the next `flush`."""
        if len(batch):
            with self._lock:
                if batch["offset"].null_count < len(batch):  # others are rows that a sink rejected
                    self.unused.add(batch)
                self._batches.append(batch)
                self._rows += len(batch)
        if self._rows >= self._most:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered to one more file, and deliver it."""
        with self._lock:
            if not self._batches:
                return
            table = pa.Table.from_batches(self._batches).unify_dictionaries()
            number = self._parts.write(table)
            self._batches, self._rows = [], 0
            self._deliver(number, table)

    def close(self) -> None:
        """Flush, and let the sinks go."""
        try:
            self.flush()
        finally:
            for sink in self.sinks.values():
                sink.close()

    def _deliver(self, number: int, letters: pa.Table) -> None:
        for name, sink in self.sinks.items():
            outcome = attempts.write(name, sink, number, letters, self._stopping)
            if isinstance(outcome, Rejected):
                log.warning(
                    "sink %s rejected %d dead letters, which stay in %s: %s",
                    name, len(outcome.rows), self.folder, outcome.reasons[0],
                )  # fmt: skip
