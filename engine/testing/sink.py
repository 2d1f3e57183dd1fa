"""The conformance kit of sinks. What was stored is read back through a side door."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from gapcast.engine.sink import (
    FORECASTS,
    STATUSES,
    AlreadyCommitted,
    Committed,
    Delivery,
    JobInfo,
    Sink,
)
from gapcast.engine.testing.kit import suite

DAY = 86_400_000_000
KEY = ["time", "sensor", "quantity", "model", "horizon"]


@dataclass(frozen=True)
class Case:
    """How to make a sink that stores below a folder, and how to read back what is there."""

    make: Callable[[Path], Sink]
    read_back: Callable[[Path], pa.Table]
    lacks: frozenset[str] = frozenset()

    def open(self, folder: Path, generation: str = "g1") -> Sink:
        """A new object, as a new process would make it."""
        sink = self.make(folder)
        sink.open(JobInfo("kit", folder, DAY // 48, ("m",), 2, ("observed",)), generation)
        return sink

    def holds(self, folder: Path, epochs: range) -> None:
        """Assert that exactly the rows of these epochs can be read back, each key once."""
        stored = pa.schema([f for f in FORECASTS if f.name not in self.lacks])
        found = self.read_back(folder).select(stored.names).cast(_plain(stored))
        whole = pa.concat_tables([epoch(e) for e in epochs])
        wanted = whole.select(stored.names).cast(_plain(stored))
        order = [(k, "ascending") for k in KEY]
        assert found.sort_by(order).equals(wanted.sort_by(order)), (
            f"read back {len(found)} rows, {len(wanted)} were written, or their values differ"
        )


def _plain(schema: pa.Schema) -> pa.Schema:
    plain = [
        pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in schema
    ]
    return pa.schema(plain)


def epoch(e: int, rows: int = 40) -> pa.Table:
    """The rows of an epoch: always the same, some with nulls, from before to after midnight."""
    rng = np.random.default_rng(e)
    step = DAY // 48
    time = (e * rows + np.arange(rows)) // 2 * step + 12_480 * DAY
    names = pa.array(["1", "24"])
    columns = {
        "time": pa.array(time).cast(FORECASTS.field("time").type),
        "sensor": pa.DictionaryArray.from_arrays(
            pa.array(np.arange(rows, dtype=np.int32) % 2), names
        ),
        "quantity": pa.array(["temperature"] * rows),
        "model": pa.array(["m"] * rows),
        "horizon": pa.array([0] * rows),
        "forecast": pa.array(rng.normal(20, 5, rows)),
        "lower": pa.array([None] * rows, pa.float64()),
        "upper": pa.array([None] * rows, pa.float64()),
        "truth": pa.array([None if i % 3 == 0 else i / 7 for i in range(rows)], pa.float64()),
        "status": pa.array([STATUSES[1 if i % 3 == 0 else 0] for i in range(rows)]),
        "gap_age": pa.array([1 + i % 5 for i in range(rows)]),
        "regressors": pa.array([None if i % 4 == 0 else i % 9 for i in range(rows)], pa.int32()),
        "experts": pa.array([[None, "own", "network own"][i % 3] for i in range(rows)]),
    }
    arrays = [columns[f.name].cast(f.type) for f in FORECASTS]
    return pa.table(arrays, schema=FORECASTS)


def rows_are_stored(case: Case, tmp_path: Path) -> None:
    """What was committed can be read back, every value exact, nulls as nulls."""
    sink = case.open(tmp_path)
    for e in range(3):
        assert isinstance(sink.write(e, epoch(e)), Committed)
    case.holds(tmp_path, range(3))


def a_committed_epoch_is_durable_without_close(case: Case, tmp_path: Path) -> None:
    """`close` may never be called: a new process finds what was committed."""
    case.open(tmp_path).write(0, epoch(0))
    case.open(tmp_path)
    case.holds(tmp_path, range(1))


def a_repeated_epoch_changes_nothing(case: Case, tmp_path: Path) -> None:
    """An epoch that comes again, in this process or the next, leaves every key once."""
    sink = case.open(tmp_path)
    sink.write(0, epoch(0))
    again = sink.write(0, epoch(0))
    assert isinstance(again, AlreadyCommitted | Committed)
    case.holds(tmp_path, range(1))
    after = case.open(tmp_path)
    after.write(0, epoch(0))
    after.write(1, epoch(1))
    case.holds(tmp_path, range(2))


def the_last_epoch_is_remembered(case: Case, tmp_path: Path) -> None:
    """`last_committed` is the greatest durable epoch; a transactional sink knows it for sure."""
    sink = case.open(tmp_path)
    assert sink.last_committed() is None
    for e in range(2):
        sink.write(e, epoch(e))
    known = (1,) if sink.delivery is Delivery.TRANSACTIONAL else (1, None)
    assert sink.last_committed() in known
    assert case.open(tmp_path).last_committed() in known


def a_crash_while_writing_leaves_all_or_nothing(case: Case, tmp_path: Path) -> None:
    """Killed at any moment of a write, the epoch is wholly there or can be written again."""
    for moment in range(200):
        folder = tmp_path / str(moment)
        folder.mkdir()
        case.open(folder).write(0, epoch(0))
        dying = case.open(folder)
        died = _countdown().die(folder, moment, partial(dying.write, 1, epoch(1)))
        after = case.open(folder)
        last = after.last_committed()
        if last is not None:
            case.holds(folder, range(last + 1))
        for e in range(0 if last is None else last + 1, 3):
            after.write(e, epoch(e))
        case.holds(folder, range(3))
        if not died:
            return
    raise AssertionError("a write of 40 rows takes more than 200 file operations")


class Crash(BaseException):
    """Stands for the end of the process."""


class _Countdown:
    """Raises `Crash` at the n-th operation on files below a folder, while it is armed."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.left = 0
        sys.addaudithook(self._watch)  # for good: Python has no way to take a hook out again

    def _watch(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.folder is None or event not in ("open", "os.rename", "os.mkdir", "os.remove"):
            return
        if any(str(a).startswith(self.folder) for a in arguments if isinstance(a, str | Path)):
            self.left -= 1
            if self.left < 0:
                raise Crash

    def die(self, folder: Path, moment: int, write: Callable[[], object]) -> bool:
        """Call `write` and die in it; False if it was over before its moment came."""
        self.folder, self.left = str(folder), moment
        try:
            write()
        except Crash:
            return True
        finally:
            self.folder = None
        return False


@cache
def _countdown() -> _Countdown:
    return _Countdown()


def another_generation_is_not_mixed_up(case: Case, tmp_path: Path) -> None:
    """Epochs of another run are never taken for this one's: they are refused or kept apart."""
    from gapcast.engine.errors import GapcastError

    case.open(tmp_path, "g1").write(0, epoch(0))
    try:
        other = case.open(tmp_path, "g2")
    except GapcastError:
        case.holds(tmp_path, range(1))
        return
    assert other.last_committed() is None
    assert isinstance(other.write(0, epoch(0)), Committed)


CHECKS = [
    rows_are_stored,
    a_committed_epoch_is_durable_without_close,
    a_repeated_epoch_changes_nothing,
    the_last_epoch_is_remembered,
    a_crash_while_writing_leaves_all_or_nothing,
    another_generation_is_not_mixed_up,
]


def sink(
    make: Callable[[Path], Sink],
    read_back: Callable[[Path], pa.Table],
    *,
    lacks: Collection[str] = (),
    skip: Mapping[str, str] | None = None,
) -> type:
    """A pytest class that checks a sink against its contract.

    make: a new, unopened sink that stores below a folder. read_back: all rows stored below it,
    with the columns of `FORECASTS`, read without the sink's own code. lacks: columns that the store
    has no place for, as its documentation says; none of the key.
    """
    if not_to_lack := sorted({*lacks} & {*KEY, "forecast"}):
        raise ValueError(f"a sink cannot lack {', '.join(not_to_lack)}")
    return suite("TestSink", CHECKS, Case(make, read_back, frozenset(lacks)), skip or {})
