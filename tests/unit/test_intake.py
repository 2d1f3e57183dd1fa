"""Which partition is read next: silent ones, ones that come later, ones of a checkpoint."""

from __future__ import annotations

import threading

import pytest
from doubles import MINUTE, START, readings

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Series
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.intake import Intake
from gapcast.engine.grid.reading_order import ReadingOrder
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.network.series import Network
from gapcast.engine.readings import DEAD_LETTERS, empty
from gapcast.engine.source import Read

SENSORS = ("1", "2", "3")
NETWORK = Network.of((Series(s, "t") for s in SENSORS), {})


class Live:
    """Partitions that never end: each a list of calls, a call a list of (minute, sensor)."""

    def __init__(self, **partitions):
        self.calls = partitions
        self.asked = []

    def partitions(self):
        return list(self.calls)

    def read(self, partition, position, limit):
        self.asked.append(partition)
        at = position["at"] if position else 0
        rows = self.calls[partition][at] if at < len(self.calls[partition]) else []
        rows = [
            (minute, sensor, "t", 1.0, 1000 * at + i) for i, (minute, sensor) in enumerate(rows)
        ]
        after = {"at": min(at + 1, len(self.calls[partition]))}
        return Read(readings(rows), empty(DEAD_LETTERS), after)


def intake(source, idle=1e9, batch=100):
    grid = Grid(GridSpec(MINUTE), source.partitions(), NETWORK, {})
    return Intake(source, grid, idle, threading.Event(), batch, 0.0)


def play(made, turns):
    """Steps closed and whether the source paused, for each of so many turns."""
    seen = []
    for turn in made.turns():
        frames = [frame for frame, _ in turn.closed]
        seen.append((sum(len(f.values) for f in frames), turn.paused))
        if len(seen) == turns:
            made._stopping.set()
    return seen


def test_the_order_of_reading_needs_neither_threads_nor_a_clock():
    order, nobody = ReadingOrder(), lambda p: False
    assert order.next([2, 0, 1], full=False, holds=nobody) == 2
    order.answered(2, something=False, now=10.0)
    assert [order.next([2, 0, 1], full=False, holds=nobody) for _ in range(4)] == [0, 2, 0, 2]
    order.answered(0, something=False, now=11.0)
    assert {*order.eligible([2, 0, 1], full=False, holds=nobody)} == {2, 0, 1}
    assert {*order.eligible([2, 0, 1], full=True, holds=lambda p: p == 0)} == {2, 0}
    order.answered(2, something=False, now=12.0)
    assert (order.silent_for(2, 15.0), order.silent_for(1, 15.0)) == (5.0, 0.0)
    order.answered(2, something=True, now=16.0)
    assert order.eligible([2, 0, 1], full=False, holds=nobody) == [2]
    assert order.next([], full=False, holds=nobody) is None


def minutes(sensor, first, last):
    return [(m, sensor) for m in range(first, last)]


def test_a_silent_partition_does_not_keep_the_others_from_being_read():
    source = Live(a=[minutes("1", 0, 2)], b=[minutes("2", m, m + 1) for m in range(40)], c=[])
    made = intake(source)
    seen = play(made, 150)
    assert made.positions == [{"at": 1}, {"at": 40}, {"at": 0}]
    assert sum(steps for steps, _ in seen) == 0  # c has not spoken yet and still holds
    assert [paused for _, paused in seen[-3:]] == [True] * 3


def test_only_the_pause_of_all_is_a_pause():
    source = Live(a=[], b=[minutes("2", m, m + 1) for m in range(10)])
    seen = play(intake(source), 30)
    first = [paused for _, paused in seen].index(True)
    assert first >= 11  # not before b was read out
    assert all(paused for _, paused in seen[first:])


def test_what_waits_for_a_silent_partition_is_bounded():
    calls = [minutes("2", 50 * k, 50 * k + 50) for k in range(40)]
    made = intake(Live(a=[], b=calls), batch=50)
    play(made, 100)
    assert made.grid.waiting <= 6 * 50
    assert made.positions[1]["at"] <= 6


def test_what_an_idle_partition_held_back_goes_on():
    calls = [minutes("2", 50 * k, 50 * k + 50) for k in range(40)]
    made = intake(Live(a=[], b=calls), idle=0.0, batch=50)
    seen = play(made, 100)
    assert made.positions[1] == {"at": 40}
    assert sum(steps for steps, _ in seen) == 40 * 50 - 1


def test_silent_partitions_are_all_asked():
    source = Live(**{name: [] for name in "abcdefgh"})
    play(intake(source), 32)
    assert {name: source.asked[:32].count(name) for name in "abcdefgh"} == dict.fromkeys(
        "abcdefgh", 4
    )


def test_a_partition_that_comes_later_is_read_and_holds():
    source = Live(a=[minutes("1", m, m + 1) for m in range(20)])
    made = intake(source)
    closed = 0
    for number, turn in enumerate(made.turns()):
        closed += sum(len(f.values) for f, _ in turn.closed)
        if number == 4:
            before = closed
            source.calls["b"] = [minutes("2", 10, 22)]
        if number == 60:
            break
    assert made.positions == [{"at": 20}, {"at": 1}]
    assert made.grid.watermarks.lowest == START + 19 * MINUTE
    assert before < 10
    assert closed == 19
    assert made.grid.counts.late == 0


def test_a_checkpoint_knows_its_partitions_by_name():
    before = Grid(GridSpec(MINUTE), ["p", "q"], NETWORK, {})
    before.add(1, readings([(5 + k, "1", "t", 1.0, k) for k in range(10)]), START)
    before.watermarks.end(0)
    meta, arrays = before.snapshot()
    after = Grid(GridSpec(MINUTE), ["a", "q"], NETWORK, {})
    after.restore(meta, arrays)
    assert after.partitions == ["p", "q", "a"]
    assert after.watermarks.order() == [2, 1]
    assert after.watermarks.lowest is None
    assert after.watermarks.idle(2)
    assert after.watermarks.lowest == START + 14 * MINUTE


def test_a_partition_that_is_gone_is_rejected():
    before = Grid(GridSpec(MINUTE), ["p", "q"], NETWORK, {})
    with pytest.raises(RunError, match="no partition 'q' any more"):
        Grid(GridSpec(MINUTE), ["p"], NETWORK, {}).restore(*before.snapshot())


@pytest.mark.parametrize(
    ("linger", "closed"), [(0.0, [0, 0, 0, 0, 9, 2, 2]), (3600.0, [9, 10, 10, 10])]
)
def test_small_calls_are_gathered_to_a_batch(linger, closed):
    made = intake(Live(a=[minutes("1", m, m + 2) for m in range(0, 40, 2)]), batch=20)
    made.linger = linger
    assert play(made, len(closed)) == [(steps, False) for steps in closed]


class Waits(Live):
    """A partition whose second call is answered once `seen`, which the test says of a pause."""

    def __init__(self, **partitions):
        super().__init__(**partitions)
        self.seen, self.answers = threading.Event(), []

    def read(self, partition, position, limit):
        if position is not None and not self.answers:
            self.answers.append(self.seen.wait(60))
        return super().read(partition, position, limit)


def test_a_live_source_that_does_not_answer_at_once_is_a_pause():
    source = Waits(a=[minutes("1", 0, 20), minutes("1", 20, 30)])
    grid = Grid(GridSpec(MINUTE), source.partitions(), NETWORK, {})
    made = Intake(source, grid, 1e9, threading.Event(), 100, 0.0, prompt=True)
    steps = 0
    for turn in made.turns():
        steps += sum(len(frame.values) for frame, _ in turn.closed)
        if turn.paused:
            source.seen.set()
        if made.positions == [{"at": 2}]:
            made._stopping.set()
    assert (steps, source.answers) == (29, [True])
