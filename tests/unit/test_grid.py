"""The grid against a plain reference, and what must not change its frames."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from doubles import place
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.forecaster import Series
from gapcast.engine.grid.counts import Counts
from gapcast.engine.grid.grid import Grid, GridSpec
from gapcast.engine.network.series import Network
from gapcast.engine.readings import DEAD_LETTERS, READINGS

SENSORS = ("a", "b", "c")
NETWORK = Network.of(Series(s, "t") for s in SENSORS)
NOW = 10**15
MINUTE = 60_000_000


def batch(rows):
    """rows: (time, sensor, value, offset)."""
    time, sensor, value, offset = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.record_batch(
        [
            pa.array(time, pa.int64()).cast(READINGS.field("time").type),
            pa.array(sensor, pa.string()).dictionary_encode().cast(READINGS.field("sensor").type),
            pa.array(["t"] * len(rows), pa.string())
            .dictionary_encode()
            .cast(READINGS.field("quantity").type),
            pa.array(value, pa.float64()),
            pa.array(offset, pa.int64()),
        ],
        schema=READINGS,
    )


def reference(partitions, spec, limits):
    """Frames as {(step, sensor): value} and counts, one reading at a time, no arrays."""
    low, high = limits
    cells, counts = {}, Counts()
    for p, readings in enumerate(partitions):
        watermark, jumps = None, 0
        for time, sensor, value, offset in readings:
            counts.read += 1
            step = time // spec.interval
            if sensor not in SENSORS or time < spec.earliest:
                counts.invalid += 1
                continue
            if value is not None and abs(value) > 1e100:
                counts.invalid += 1
                continue
            if watermark is not None and time > watermark + spec.future:
                jumps += 1
                if jumps < 10:
                    counts.invalid += 1
                    continue
            elif watermark is not None and (step + 1) * spec.interval + spec.lateness <= watermark:
                counts.late += 1
                continue
            jumps = 0
            watermark = time if watermark is None else max(watermark, time)
            bad = value is not None and not low <= value <= high
            cells.setdefault((step, sensor), []).append((time, p, offset, value, bad))
    frames = {}
    for key, readings in cells.items():
        readings.sort(key=lambda r: r[:3])
        seen, good = set(), []
        for time, _, _, value, bad in readings:
            if time in seen:
                counts.duplicate += 1
                continue
            seen.add(time)
            counts.rejected += bad
            counts.used += not bad
            if not bad and value is not None:
                good.append(value)
        total = 0.0
        for i, value in enumerate(good):
            total = value if i == 0 else total + value
        frames[key] = total / len(good) if good else None
    return frames, counts


def run(partitions, spec, limits, cuts=(), turns=None):
    """Feed the partitions in pieces of the given sizes; returns cells, frames' steps, counts."""
    grid = Grid(spec, [f"p{i}" for i in range(len(partitions))], NETWORK, {"t": limits})
    at = [0] * len(partitions)
    cells, steps, dead = {}, [], 0
    sizes = iter(cuts)
    while order := grid.watermarks.order():
        p = order[0]
        size = next(sizes, 7)
        piece = partitions[p][at[p] : at[p] + size]
        at[p] += len(piece)
        dead += len(grid.add(p, batch(piece), NOW))
        if at[p] == len(partitions[p]):
            grid.watermarks.end(p)
        for frame, _ in grid.closed():
            for t, row in enumerate(frame.values):
                steps.append(frame.first + t)
                cells.update(
                    {(steps[-1], s): v for s, v in zip(SENSORS, row, strict=True) if v == v}
                )
    return cells, steps, grid.settled(), dead


readings = st.lists(
    st.tuples(
        st.integers(0, 40 * MINUTE).map(lambda t: t // 7_000_000 * 7_000_000),
        st.sampled_from([*SENSORS, "stranger"]),
        st.one_of(st.none(), st.floats(-50, 150), st.sampled_from([math.inf, -1e300])),
    ),
    max_size=60,
).map(lambda rows: [(*row, i) for i, row in enumerate(rows)])

specs = st.builds(
    GridSpec,
    interval=st.sampled_from([MINUTE, 5 * MINUTE]),
    lateness=st.sampled_from([0, MINUTE, 15 * MINUTE]),
    future=st.sampled_from([10 * MINUTE, 10**12]),
    earliest=st.sampled_from([0, MINUTE]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(readings, min_size=1, max_size=3), specs, st.lists(st.integers(1, 20), max_size=30))
def test_same_as_reference_however_cut(partitions, spec, cuts):
    expected, counts = reference(partitions, spec, (-20.0, 100.0))
    cells, steps, settled, dead = run(partitions, spec, (-20.0, 100.0), cuts)
    assert cells == {k: v for k, v in expected.items() if v is not None}
    assert settled == counts
    assert settled.read == sum(asdict(settled).values()) - settled.read
    assert steps == list(range(steps[0], steps[-1] + 1)) if steps else not expected
    assert dead == settled.late + settled.invalid + sum_rejected(partitions, spec)


def sum_rejected(partitions, spec):
    """Rejected readings are dead letters even when they are duplicates as well."""
    return sum(
        1
        for rows in accepted(partitions, spec)
        for _, _, value, _ in rows
        if value is not None and not -20.0 <= value <= 100.0
    )


def accepted(partitions, spec):
    grid = Grid(spec, [str(i) for i in range(len(partitions))], NETWORK, {})
    for p, rows in enumerate(partitions):
        kept = []
        for row in rows:
            before = grid.counts.late + grid.counts.invalid
            grid.add(p, batch([row]), NOW)
            if grid.counts.late + grid.counts.invalid == before:
                kept.append(row)
        yield kept


@settings(max_examples=60, deadline=None)
@given(readings, st.randoms(use_true_random=False))
def test_permutations_within_lateness_change_nothing(rows, random):
    rows = list({(r[0], r[1]): r for r in rows if r[2] is None or abs(r[2]) < 1e100}.values())
    spec = GridSpec(MINUTE, lateness=40 * MINUTE, future=10**12, earliest=0)
    straight = run([rows], spec, (-20.0, 100.0))
    shuffled = list(rows)
    random.shuffle(shuffled)
    mixed = run([shuffled], spec, (-20.0, 100.0))
    assert straight == mixed


def test_dead_letters_say_why_and_where():
    spec = GridSpec(MINUTE, earliest=MINUTE)
    grid = Grid(spec, ["data.txt"], NETWORK, {"t": (0.0, 50.0)})
    rows = [
        (2 * MINUTE, "a", 20.0, 1),
        (0, "a", 20.0, 2),
        (2 * MINUTE, "x", 20.0, 3),
        (2 * MINUTE, "b", math.inf, 4),
        (4 * MINUTE, "b", 122.153, 5),
        (2 * MINUTE, "c", 20.0, 6),
        (NOW * 10, "c", 20.0, 7),
    ]
    dead = grid.add(0, batch(rows), NOW)
    assert dead.schema == DEAD_LETTERS
    assert [(place(d), d["reason"].split(":")[0]) for d in dead.to_pylist()] == [
        ("data.txt:2", "time before grid.earliest"),
        ("data.txt:3", "unknown series"),
        ("data.txt:4", "not a number any measurement can have"),
        ("data.txt:5", "rejected"),
        ("data.txt:6", "late"),
        ("data.txt:7", "time too far in the future"),
    ]


def test_one_clock_in_2099_does_not_close_everything():
    spec = GridSpec(MINUTE, future=60 * MINUTE, earliest=0)
    grid = Grid(spec, ["p"], NETWORK, {})
    grid.add(0, batch([(MINUTE, "a", 1.0, 1), (500 * MINUTE, "b", 2.0, 2)]), NOW)
    grid.add(0, batch([(2 * MINUTE, "a", 3.0, 3)]), NOW)
    assert (grid.counts.invalid, grid.counts.late) == (1, 0)
    assert grid.watermarks.lowest == 2 * MINUTE


def test_a_jump_many_agree_on_is_believed():
    spec = GridSpec(MINUTE, future=60 * MINUTE, earliest=0)
    grid = Grid(spec, ["p"], NETWORK, {})
    grid.add(0, batch([(MINUTE, "a", 1.0, 1)]), NOW)
    grid.add(0, batch([(500 * MINUTE, "b", 2.0, 2 + i) for i in range(10)]), NOW)
    assert grid.counts.invalid == 9
    assert grid.watermarks.lowest == 500 * MINUTE


def test_an_idle_partition_stops_holding_and_its_late_readings_are_counted():
    grid = Grid(GridSpec(MINUTE, earliest=0), ["p", "q"], NETWORK, {})
    grid.add(0, batch([(0, "a", 1.0, 1), (5 * MINUTE, "a", 1.0, 2)]), NOW)
    assert list(grid.closed()) == []
    assert grid.watermarks.idle(1)
    assert not grid.watermarks.idle(1)
    assert sum(len(f.values) for f, _ in grid.closed()) == 5
    dead = grid.add(1, batch([(MINUTE, "b", 1.0, 1), (6 * MINUTE, "b", 1.0, 2)]), NOW)
    assert len(dead) == 1
    assert grid.counts.late == 1


def test_a_long_gap_comes_in_pieces_of_bounded_size():
    spec = GridSpec(MINUTE, earliest=0, future=10**15)
    grid = Grid(spec, ["p"], NETWORK, {}, most_cells=300)
    grid.add(0, batch([(0, "a", 1.0, 1), (1000 * MINUTE, "b", 2.0, 2)]), NOW)
    grid.watermarks.end(0)
    frames = [frame for frame, _ in grid.closed()]
    assert [len(f.values) for f in frames] == [100] * 10 + [1]
    values = np.concatenate([f.values for f in frames])
    assert np.isfinite(values).sum() == 2
    assert values[1000, 1] == 2.0


@pytest.mark.parametrize(
    ("how", "expected"), [("mean", 2.0), ("last", 3.0), ("min", 1.0), ("max", 3.0), ("sum", 6.0)]
)
def test_aggregates(how, expected):
    grid = Grid(GridSpec(MINUTE, aggregate=how, earliest=0), ["p"], NETWORK, {})
    rows = [(30, "a", 3.0, 1), (10, "a", 1.0, 2), (20, "a", 2.0, 3), (40, "a", None, 4)]
    grid.add(0, batch(rows), NOW)
    grid.watermarks.end(0)
    ((frame, _),) = grid.closed()
    assert frame.values[0, 0] == expected
