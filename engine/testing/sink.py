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
    AHEAD,
    FORECASTS,
    KEY,
    STATUSES,
    AlreadyCommitted,
    Committed,
    Delivery,
    JobInfo,
    Sink,
    superseded,
)
from gapcast.engine.testing.kit import suite

DAY = 86_400_000_000


@dataclass(frozen=True)
class Case:
    """How to make a sink that stores below a folder, and how to read back what is there."""

    make: Callable[[Path], Sink]
    read_back: Callable[[Path], pa.Table]
    lacks: frozenset[str] = frozenset()
    stages: bool = False

    def open(self, folder: Path, generation: str = "g1") -> Sink:
        """A new object, as a new process would make it."""
        sink = self.make(folder)
        sink.open(JobInfo("kit", folder, DAY // 48, ("m",), 2, ("observed",)), generation)
        return sink

    def holds(
        self, folder: Path, *, epochs: int, of: Callable[[int], pa.Table] | None = None
    ) -> None:
        """Assert that exactly the rows of the first epochs can be read back, each key once, or each
        key and stage. of: makes the epochs; default: `epoch`."""
        found, wanted = self._rows(folder, epochs, of or epoch)
        assert found.equals(wanted), (
            f"read back {len(found)} rows, {len(wanted)} were written, or their values differ"
        )

    def held(self, folder: Path, *, most: int) -> int:
        """How many epochs, from the first on, are all that can be read back."""
        for epochs in range(most + 1):
            found, wanted = self._rows(folder, epochs, epoch)
            if found.equals(wanted):
                return epochs
        raise AssertionError(f"what can be read back ({len(found)} rows) is no number of epochs")

    def _rows(
        self, folder: Path, epochs: int, of: Callable[[int], pa.Table]
    ) -> tuple[pa.Table, pa.Table]:
        """What is read back, and the first epochs, both in the order of their keys."""
        stored = pa.schema([f for f in FORECASTS if f.name not in self.lacks])
        found = self.read_back(folder).select(stored.names).cast(_plain(stored))
        whole = pa.concat_tables([FORECASTS.empty_table(), *map(of, range(epochs))])
        whole = whole if self.stages else whole.filter(pa.array(~superseded(whole)))
        wanted = whole.select(stored.names).cast(_plain(stored))
        order = [(k, "ascending") for k in KEY]
        if "status" not in self.lacks:
            order.append(("status", "ascending"))
        return found.sort_by(order), wanted.sort_by(order)


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
        "flag": pa.array([["stuck", None, "outlier", None][i % 4] for i in range(rows)]),
        "made": pa.array(time),
    }
    arrays = [columns[f.name].cast(f.type) for f in FORECASTS]
    return pa.table(arrays, schema=FORECASTS)


def staged(e: int) -> pa.Table:
    """An epoch with forecasts two steps ahead, too: rows ahead of the next epoch's first steps, and
    of steps of its own; final ones of these, and of those that the epoch before was ahead of."""
    early = [epoch(e).slice(6, 4), epoch(e + 1).slice(0, 6)]
    late = epoch(e).slice(0, 10)
    return pa.concat_tables([*(_two_ahead(rows, early=True) for rows in early), epoch(e),
                             _two_ahead(late, early=False)])  # fmt: skip


def _two_ahead(rows: pa.Table, early: bool) -> pa.Table:
    """Rows of the same times with the horizon 2, of the stage ahead or final."""
    made = pa.array(rows["time"].cast(pa.int64()).to_numpy() - 2 * (DAY // 48))
    columns: dict[str, pa.Array] = {"horizon": pa.array([2] * len(rows)), "made": made}
    if early:
        nulls = {name: pa.nulls(len(rows)) for name in ("truth", "flag")}
        ages = pa.array([2] * len(rows))
        columns |= {**nulls, "status": pa.array([AHEAD] * len(rows)), "gap_age": ages}
    for name, column in columns.items():
        field = FORECASTS.field(name)
        rows = rows.set_column(FORECASTS.names.index(name), field, column.cast(field.type))
    return rows


def rows_are_stored(case: Case, tmp_path: Path) -> None:
    """What was committed can be read back, every value exact, nulls as nulls."""
    sink = case.open(tmp_path)
    for e in range(3):
        assert isinstance(sink.write(e, epoch(e)), Committed)
    case.holds(tmp_path, epochs=3)


def a_committed_epoch_is_durable_without_close(case: Case, tmp_path: Path) -> None:
    """`close` may never be called: a new process finds what was committed."""
    case.open(tmp_path).write(0, epoch(0))
    case.open(tmp_path)
    case.holds(tmp_path, epochs=1)


def a_repeated_epoch_changes_nothing(case: Case, tmp_path: Path) -> None:
    """An epoch that comes again, in this process or the next, leaves every key once."""
    sink = case.open(tmp_path)
    sink.write(0, epoch(0))
    again = sink.write(0, epoch(0))
    assert isinstance(again, AlreadyCommitted | Committed)
    case.holds(tmp_path, epochs=1)
    after = case.open(tmp_path)
    after.write(0, epoch(0))
    after.write(1, epoch(1))
    case.holds(tmp_path, epochs=2)


def a_transactional_sink_knows_its_epochs(case: Case, tmp_path: Path) -> None:
    """Asked again for an epoch that is durable, a transactional sink answers `AlreadyCommitted`, in
    this process and the next; others may."""
    sink = case.open(tmp_path)
    transactional = sink.delivery is Delivery.TRANSACTIONAL
    known = AlreadyCommitted if transactional else AlreadyCommitted | Committed
    for e in range(2):
        assert isinstance(sink.write(e, epoch(e)), Committed), f"epoch {e} had not been written"
    for again in (sink, case.open(tmp_path)):
        for e in range(2):
            answer = again.write(e, epoch(e))
            assert isinstance(answer, known), f"epoch {e} was durable, the answer is {answer}"


def a_crash_while_writing_leaves_all_or_nothing(case: Case, tmp_path: Path) -> None:
    """Killed at any moment of a write, and opened again, a transactional sink holds the epoch
    wholly, and knows it, or not at all; any sink does once it has been written again."""
    for moment in range(200):
        folder = tmp_path / str(moment)
        folder.mkdir()
        case.open(folder).write(0, epoch(0))
        dying = case.open(folder)
        died = countdown().die(folder, moment, partial(dying.write, 1, epoch(1)))
        after = case.open(folder)
        transactional = after.delivery is Delivery.TRANSACTIONAL
        held = case.held(folder, most=2) if transactional else 0
        for e in range(3):
            answer = after.write(e, epoch(e))
            if transactional:
                known = isinstance(answer, AlreadyCommitted)
                assert known == (e < held), f"of {held} epochs, epoch {e} is answered by {answer}"
        case.holds(folder, epochs=3)
        if not died:
            return
    raise AssertionError("a write of 40 rows takes more than 200 file operations")


class Crash(BaseException):
    """Stands for the end of the process."""


class Countdown:
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
def countdown() -> Countdown:
    """The one of this process."""
    return Countdown()


def what_was_said_ahead_is_followed_by_its_truth(case: Case, tmp_path: Path) -> None:
    """Of a key that comes ahead and then as a final row, both stages stay, or the final row stands
    in the place of the one ahead; so too where both are in one epoch, and after repeats."""
    sink = case.open(tmp_path)
    assert isinstance(sink.write(0, staged(0)), Committed)
    case.holds(tmp_path, epochs=1, of=staged)
    sink.write(1, staged(1))
    case.holds(tmp_path, epochs=2, of=staged)
    after = case.open(tmp_path)
    for e in range(3):
        after.write(e, staged(e))
    case.holds(tmp_path, epochs=3, of=staged)


def another_generation_is_not_mixed_up(case: Case, tmp_path: Path) -> None:
    """Epochs of another run are never taken for this one's: they are rejected or stored apart."""
    from gapcast.engine.errors import GapcastError

    case.open(tmp_path, "g1").write(0, epoch(0))
    try:
        other = case.open(tmp_path, "g2")
    except GapcastError:
        case.holds(tmp_path, epochs=1)
        return
    outcome = other.write(0, epoch(0))
    assert isinstance(outcome, Committed), (
        f"the first epoch of another run is answered by {outcome}"
    )


CHECKS = [
    rows_are_stored,
    a_committed_epoch_is_durable_without_close,
    a_repeated_epoch_changes_nothing,
    a_transactional_sink_knows_its_epochs,
    a_crash_while_writing_leaves_all_or_nothing,
    what_was_said_ahead_is_followed_by_its_truth,
    another_generation_is_not_mixed_up,
]


def sink(
    make: Callable[[Path], Sink],
    read_back: Callable[[Path], pa.Table],
    *,
    lacks: Collection[str] = (),
    stages: bool = False,
    skip: Mapping[str, str] | None = None,
) -> type:
    """A pytest class that checks a sink against its contract.

    make: a new, unopened sink that stores below a folder. read_back: all rows stored below it,
    with the columns of `FORECASTS`, read without the sink's own code. lacks: columns that the store
    has no place for, as its documentation says; none of the key. stages: whether both stages of a
    key stay there; else the final row takes the place of the one ahead.
    """
    if not_to_lack := sorted({*lacks} & {*KEY, "forecast"}):
        raise ValueError(f"a sink cannot lack {', '.join(not_to_lack)}")
    case = Case(make, read_back, frozenset(lacks), stages)
    return suite("TestSink", CHECKS, case, skip or {})
