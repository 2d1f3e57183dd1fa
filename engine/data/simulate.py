"""Make readings of a simulated lab: in the original's format, with the original's faults."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.data import text
from gapcast.engine.data.faults import Faults, disorder, fields_kept, strangers
from gapcast.engine.data.field import DAY, Lab
from gapcast.engine.errors import DataError
from gapcast.engine.readings import NAME, TIME

Ints = NDArray[np.int64]

QUANTITIES = ("temperature", "humidity", "light", "voltage")
_CELLS = 1 << 17
"""Readings made at once. Part of what is made: changing it changes the bytes of a seed."""


@dataclass(frozen=True)
class Simulation:
    """What to simulate. Times in µs since 1970 (UTC); positions (n, 2) in metres.

    Motes beyond those with a position get a random one. clean: without faults. The same values
    give the same bytes, with the same NumPy on the same kind of machine.
    """

    motes: int = 54
    days: float = 9
    seed: int = 1
    interval: int = 31_000_000
    start: int = 1_077_926_400_000_000
    clean: bool = False
    positions: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class _Lines:
    """Readings as parallel arrays; values (n, 4), kept: fields that the line has."""

    time: Ints
    epoch: Ints
    mote: Ints
    values: NDArray[np.float64]
    kept: Ints


def simulate(
    what: Simulation,
    out: Path,
    format: Literal["intel-lab", "parquet"] = "intel-lab",
    progress: Callable[[float], None] = lambda done: None,
) -> int:
    """Write the readings of `what` to `out` (compressed if it ends in ``.gz``); the lines written.

    progress: called with the share that is done. Raises DataError when `out` cannot be written;
    a file is either whole or not there.
    """
    steps = round(what.days * DAY) // what.interval
    size = max(1, _CELLS // what.motes)
    lines = 0
    with _writer(out, format) as write:
        lab = _Maker(what, steps)
        for first in range(0, steps, size):
            made = lab.make(first, min(first + size, steps))
            write(made)
            lines += len(made.time)
            progress(min(1.0, (first + size) / steps))
    return lines


class _Maker:
    def __init__(self, what: Simulation, steps: int) -> None:
        self.what = what
        duration = steps * what.interval
        self.lab = Lab(_positions(what), what.start, duration / DAY, what.seed)
        self.faults = Faults(what.motes, what.start, duration, what.seed)

    def make(self, first: int, end: int) -> _Lines:
        """The lines of steps `first` to `end`, in the order in which they are written."""
        what = self.what
        random = np.random.default_rng([what.seed, 4, first])
        step = np.arange(first, end)[:, None]
        shape = end - first, what.motes
        within = random.integers(0, what.interval, shape)
        times = what.start + step * what.interval + within
        climate = self.lab.at(times)
        voltage = 2.72 - 0.02 * (times - what.start) / (7 * DAY)
        voltage += 0.004 * (climate.temperature - 20) + random.normal(0, 0.003, shape)
        temperature = _grid(climate.temperature + random.normal(0, 0.02, shape), 0.0098, -39.6)
        humidity = climate.humidity + random.normal(0, 0.06, shape)
        light = _grid(climate.light * np.exp(random.normal(0, 0.02, shape)), 0.92)
        voltage = 1250.0 / np.rint(1250.0 / voltage)
        random = np.random.default_rng([what.seed, 5, first])
        present = np.ones(shape, np.bool_)
        if not what.clean:
            self.faults.drain(times, temperature, humidity, voltage)
            present = self.faults.present(times, random)
        epoch = np.broadcast_to(step + 1, shape)
        mote = np.broadcast_to(np.arange(1, what.motes + 1), shape)
        values = np.stack([temperature, humidity, light, voltage], axis=-1)
        columns = (times[present], epoch[present], mote[present], values[present])
        return self._written(*columns, what.start + end * what.interval, random)

    def _written(
        self,
        time: Ints,
        epoch: Ints,
        mote: Ints,
        values: NDArray[np.float64],
        end: int,
        random: np.random.Generator,
    ) -> _Lines:
        if self.what.clean:
            order = np.argsort(time, kind="stable")
            kept = np.full(len(time), text.FIELDS)
        else:
            order = disorder(time, end, random)
            mote = strangers(mote, random)
            kept = fields_kept(len(time), text.FIELDS, random)
        return _Lines(time[order], epoch[order], mote[order], values[order], kept[order])


def _positions(what: Simulation) -> NDArray[np.float64]:
    known = np.empty((0, 2)) if what.positions is None else what.positions[: what.motes]
    corner = known.max(axis=0) if len(known) else np.array([40.0, 31.0])
    others = np.random.default_rng([what.seed, 6]).random((what.motes - len(known), 2)) * corner
    return np.concatenate([known, others])


def _grid(values: NDArray[np.float64], unit: float, zero: float = 0.0) -> NDArray[np.float64]:
    """`values` as a converter of that resolution tells them."""
    return np.asarray(np.rint((values - zero) / unit) * unit + zero)


@contextmanager
def _writer(out: Path, format: str) -> Iterator[Callable[[_Lines], Any]]:
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as raw:
            if format == "parquet":
                with _parquet(raw) as write:
                    yield write
            elif out.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                    yield lambda made: packed.write(_bytes(made))
            else:
                yield lambda made: raw.write(_bytes(made))
        os.replace(part, out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _bytes(made: _Lines) -> bytes:
    return text.lines(made.time, made.epoch, made.mote, made.values, made.kept)


@contextmanager
def _parquet(raw: IO[bytes]) -> Iterator[Callable[[_Lines], Any]]:
    """Writes a long table: a row for each value of a line that has its mote."""
    import pyarrow.parquet as pq

    names = {"time": TIME, "sensor": NAME, "quantity": NAME, "value": pa.float64()}
    with pq.ParquetWriter(raw, pa.schema(names.items())) as writer:
        yield lambda made: writer.write_table(_long(made).cast(pa.schema(names.items())))


def _long(made: _Lines) -> pa.Table:
    line, column = np.nonzero(made.kept[:, None] > 4 + np.arange(len(QUANTITIES)))
    motes, mote = np.unique(made.mote[line], return_inverse=True)
    unit = 10.0 ** text.DECIMALS[column]
    value = np.rint(made.values[line, column] * unit) / unit + 0.0
    return pa.table(
        {
            "time": pa.array(made.time[line]).view(TIME),
            "sensor": pa.DictionaryArray.from_arrays(
                pa.array(mote, pa.int32()), pa.array(motes).cast(pa.string())
            ),
            "quantity": pa.DictionaryArray.from_arrays(
                pa.array(column, pa.int32()), pa.array(QUANTITIES)
            ),
            "value": value,
        }
    )
