"""The conformance kit of parallel sinks: parts, commits, and what a crash between them leaves.

It comes beside that of sinks, which checks what `write` does with all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from gapcast.engine.sink import (
    AlreadyCommitted,
    Committable,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    ParallelSink,
    Part,
    Retry,
    Sink,
    SinkPart,
)
from gapcast.engine.testing.kit import suite
from gapcast.engine.testing.sink import DAY, Case, countdown, epoch, staged


def _opened(case: Case, folder: Path) -> ParallelSink:
    sink = case.open(folder)
    assert isinstance(sink, ParallelSink), f"{type(sink).__name__} is no ParallelSink"
    return sink


def _writers(case: Case, folder: Path, count: int) -> list[SinkPart]:
    """Writers of so many shards, each made by an object of its own, as in another process."""
    found = []
    for number in range(count):
        info = JobInfo("kit", folder, DAY // 48, ("m",), 2, ("observed",))
        sink: Sink = case.make(folder)
        assert isinstance(sink, ParallelSink), f"{type(sink).__name__} is no ParallelSink"
        found.append(sink.writer(Part(number, info, "g1")))
    return found


def _prepared(
    writers: Sequence[SinkPart], e: int, of: Callable[[int], pa.Table] = epoch
) -> list[Committable]:
    """What the parts have to commit of an epoch that is dealt out to them."""
    rows, found = of(e), []
    for number, writer in enumerate(writers):
        mine = rows.filter(pa.array(np.arange(len(rows)) % len(writers) == number))
        writer.write(e, mine)
        answer = writer.prepare(e)
        assert not isinstance(answer, Retry), f"part {number} asks to be tried again: {answer}"
        found.append(answer)
    return found


def _stored(case: Case, sink: ParallelSink, folder: Path, e: int, count: int) -> Outcome:
    return sink.commit(e, _prepared(_writers(case, folder, count), e))


def parts_are_stored(case: Case, tmp_path: Path) -> None:
    """What any number of parts have prepared and a commit took can be read back, every value exact;
    the same writers go on with the next epoch. Epochs written whole may stand between."""
    sink, writers = _opened(case, tmp_path), _writers(case, tmp_path, 2)
    for e in range(2):
        assert isinstance(sink.commit(e, _prepared(writers, e)), Committed)
    assert isinstance(sink.write(2, epoch(2)), Committed)
    assert isinstance(sink.commit(3, _prepared(writers, 3)), Committed)
    case.holds(tmp_path, epochs=4)


def both_stages_are_stored(case: Case, tmp_path: Path) -> None:
    """Of a key that comes ahead and then as a final row both stay, or the final row stands in the
    place of the one ahead, in one epoch or in two."""
    sink, writers = _opened(case, tmp_path), _writers(case, tmp_path, 2)
    for e in range(3):
        assert isinstance(sink.commit(e, _prepared(writers, e, staged)), Committed)
        case.holds(tmp_path, epochs=e + 1, of=staged)


def what_is_prepared_is_not_seen(case: Case, tmp_path: Path) -> None:
    """Until it is committed nobody reads any row of an epoch, nor after the run was killed."""
    sink = _opened(case, tmp_path)
    _stored(case, sink, tmp_path, 0, 2)
    _prepared(_writers(case, tmp_path, 2), 1)
    case.holds(tmp_path, epochs=1)
    after = _opened(case, tmp_path)
    case.holds(tmp_path, epochs=1)
    _stored(case, after, tmp_path, 1, 3)
    case.holds(tmp_path, epochs=2)


def open_removes_what_nobody_committed(case: Case, tmp_path: Path) -> None:
    """What was prepared and never committed is gone once the sink was opened again."""
    _stored(case, _opened(case, tmp_path), tmp_path, 0, 2)
    _opened(case, tmp_path)
    before = _files(tmp_path)
    _prepared(_writers(case, tmp_path, 2), 1)
    _opened(case, tmp_path)
    left = sorted(str(path) for path in _files(tmp_path) - before)
    assert not left, f"left behind: {', '.join(left)}"


def a_repeated_epoch_changes_nothing(case: Case, tmp_path: Path) -> None:
    """An epoch that other parts prepare again, in this process or the next, leaves every key once;
    a transactional sink knows it, and drops what was prepared."""
    sink = _opened(case, tmp_path)
    known = AlreadyCommitted if sink.delivery is Delivery.TRANSACTIONAL else Outcome
    _stored(case, sink, tmp_path, 0, 2)
    before = _files(tmp_path)
    for again in (sink, _opened(case, tmp_path)):
        for count in (2, 3):
            answer = _stored(case, again, tmp_path, 0, count)
            assert isinstance(answer, known), f"epoch 0 was durable, the answer is {answer}"
    case.holds(tmp_path, epochs=1)
    left = sorted(str(path) for path in _files(tmp_path) - before)
    assert not left, f"left behind: {', '.join(left)}"


def a_crash_at_any_moment_leaves_every_key_once(case: Case, tmp_path: Path) -> None:
    """Killed at any moment from the first row of a part to the end of the commit, and opened again,
    a transactional sink holds the epoch wholly, and knows it, or not at all; any sink does once
    other parts have prepared it again and it was committed."""
    for moment in range(300):
        folder = tmp_path / str(moment)
        folder.mkdir()
        _stored(case, _opened(case, folder), folder, 0, 2)
        dying = _opened(case, folder)
        died = countdown().die(folder, moment, partial(_stored, case, dying, folder, 1, 2))
        after = _opened(case, folder)
        transactional = after.delivery is Delivery.TRANSACTIONAL
        held = case.held(folder, most=2) if transactional else 0
        for e in range(3):
            answer = _stored(case, after, folder, e, 3)
            if transactional:
                known = isinstance(answer, AlreadyCommitted)
                assert known == (e < held), f"of {held} epochs, epoch {e} is answered by {answer}"
        case.holds(folder, epochs=3)
        if not died:
            return
    raise AssertionError("an epoch of 40 rows takes more than 300 file operations")


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


CHECKS = [
    parts_are_stored,
    both_stages_are_stored,
    what_is_prepared_is_not_seen,
    open_removes_what_nobody_committed,
    a_repeated_epoch_changes_nothing,
    a_crash_at_any_moment_leaves_every_key_once,
]


def parallel_sink(
    make: Callable[[Path], Sink],
    read_back: Callable[[Path], pa.Table],
    *,
    lacks: Collection[str] = (),
    stages: bool = False,
    skip: Mapping[str, str] | None = None,
) -> type:
    """A pytest class that checks the two halves of a `ParallelSink`. Parameters as for `sink`."""
    case = Case(make, read_back, frozenset(lacks), stages)
    return suite("TestParallelSink", CHECKS, case, skip or {})
