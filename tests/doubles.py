"""Test doubles that keep to the contracts: a source that plays scripts, sinks that misbehave."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable

import pyarrow as pa
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.readings import DEAD_LETTERS, READINGS, empty
from gapcast.engine.sink import Committed, Delivery, Rejected, Retry, Sink
from gapcast.engine.source import Read, Source

MINUTE = 60_000_000
START = 1_078_099_200_000_000  # 2004-03-01
SCRIPTS: dict[str, dict[str, list]] = {}
"""Scripts by name: partition -> rows (minutes since START, sensor, quantity, value) and words:
``"pause"`` reads nothing once, ``"fail"`` raises."""


class Stopping(list):
    """The rows of a script that asks its run to stop at each of these rows in turn, once each."""

    def __init__(self, rows: Iterable, *moments: int) -> None:
        super().__init__(rows)
        self.moments = list(moments)

    def __getitem__(self, i):
        if self.moments and i == self.moments[0]:
            self.moments.pop(0)
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(i)


def readings(rows) -> pa.RecordBatch:
    """Rows (minute, sensor, quantity, value, offset) as a batch."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    time = pa.array([START + int(m * MINUTE) for m in columns[0]], pa.int64())
    arrays = [
        time.cast(READINGS.field("time").type),
        *(pa.array(columns[i], pa.string()).dictionary_encode() for i in (1, 2)),
        pa.array(columns[3], pa.float64()),
        pa.array(columns[4], pa.int64()),
    ]
    return pa.record_batch(arrays, schema=READINGS)


def place(letter) -> str:
    """Where a dead letter stands, as ``partition:offset``."""
    return f"{letter['partition']}:{letter['offset']}"


class Played(Source):
    """Plays one of `SCRIPTS`, at most `at_once` readings a call."""

    class Params(plugin.Params):
        script: str
        at_once: int = Field(default=5, ge=1)

    def open(self, quantities):
        self.script = SCRIPTS[self.params.script]
        self.quantities = quantities

    def partitions(self):
        return list(self.script)

    def discover(self):
        rows = [r for part in self.script.values() for r in part if not isinstance(r, str)]
        return {Series(r[1], r[2]) for r in rows}

    def read(self, partition, position, limit):
        script = self.script[partition]
        at = position["at"] if position else 0
        rows = []
        while at < len(script) and len(rows) < min(limit, self.params.at_once):
            if script[at] == "fail":
                raise SourceError(f"{partition}: the script says so")
            at += 1
            if script[at - 1] == "pause":
                break
            if self.quantities is None or script[at - 1][2] in self.quantities:
                rows.append((*script[at - 1], at))
        ended = at == len(script)
        return Read(readings(rows), empty(DEAD_LETTERS), {"at": at}, ended)


class Unannounced(Played):
    """Plays a script of which it knows beforehand but the sensors `known`."""

    resumable = frozenset({"known"})
    live = True

    class Params(Played.Params):
        known: tuple[str, ...]

    def discover(self):
        if not self.params.known:
            raise SourceError("nobody knows what will come")
        return {s for s in super().discover() if s.sensor in self.params.known}


class Keeps(Sink):
    """Keeps what it gets in `Keeps.epochs`; answers the first calls from `Keeps.answers`."""

    delivery = Delivery.IDEMPOTENT
    epochs: dict[int, pa.Table] = {}  # noqa: RUF012 - tests look into it
    answers: list = []  # noqa: RUF012

    def open(self, job, generation):
        Keeps.job = job
        Keeps.epochs.clear()

    def write(self, epoch, forecasts):
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, Retry | Rejected):
                return answer
        Keeps.epochs[epoch] = forecasts
        return Committed()


class Fed(Played):
    """Plays a script that a test goes on writing while it is read; the word ``"end"`` ends it."""

    live = True

    def read(self, partition, position, limit):
        script = self.script[partition]
        at = position["at"] if position else 0
        until = min(len(script), at + min(limit, self.params.at_once))
        rows = [row for row in script[at:until] if row != "end"]
        if not rows:
            time.sleep(0.02)  # as a broker that has nothing does
        numbered = [(*row, at + i + 1) for i, row in enumerate(rows)]
        at += len(rows)
        ended = at < len(script) and script[at] == "end"
        return Read(readings(numbered), empty(DEAD_LETTERS), {"at": at}, ended)


class Holds(Sink):
    """Takes everything; its run does not end before `Holds.go` is set."""

    go = threading.Event()

    def open(self, job, generation):
        pass

    def write(self, epoch, forecasts):
        return Committed()

    def close(self):
        assert Holds.go.wait(120)
