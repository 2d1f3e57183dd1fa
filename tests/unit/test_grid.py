"""The grid against a plain reference, and what must not change its frames."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from doubles import START, place
from doubles import readings as measured
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.forecaster import Series
from gapcast.engine.grid.counts import Counts
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.spec import DUPLICATES, Circular, GridSpec
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


def judged(readings, spec):
    """(reading, verdict) of one partition, one at a time: used, late or invalid."""
    shift = spec.offset - spec.interval // 2 * spec.nearest
    future = 24 * spec.interval if spec.future is None else spec.future
    watermark, usual, last, held, against, sensors = None, 0, 0, [], [], set()
    fate = {}

    def in_time(reading):
        nonlocal watermark, usual, last
        time = reading[0]
        if watermark is not None:
            step = (time - shift) // spec.interval
            if (step + 1) * spec.interval + shift + spec.lateness <= watermark:
                return "late"
            if time > watermark:
                usual = max(min(time - watermark, last), usual - usual // 16)
                last = time - watermark
        watermark = time if watermark is None else max(watermark, time)
        return "used"

    def settle(least):
        nonlocal held, against
        waiting, held, against = held, [], []
        for i, reading in enumerate(waiting):
            limit = max(future, 4 * usual)
            earlier = sum(reading[0] - later[0] > limit for later in waiting[i + 1 :])
            agree = len(waiting) - i - earlier
            if earlier > agree:
                fate[id(reading)] = "invalid"
            elif watermark is None or reading[0] - watermark <= limit or agree >= least:
                fate[id(reading)] = in_time(reading)
            else:
                held.append(reading)

    for reading in readings:
        time, sensor, value, offset = reading
        if sensor not in SENSORS or time < spec.earliest or abs(value or 0) > 1e100:
            fate[id(reading)] = "invalid"
            continue
        sensors.add(sensor)
        if watermark is None or time - watermark > max(future, 4 * usual):
            held.append(reading)
            who = {r[1] for r in held}
            if len(held) >= (10 if (len(who) > 1) == (len(sensors) > 1) else 100):
                settle(5)
        else:
            fate[id(reading)] = in_time(reading)
            if held:
                against.append(offset)
                if len(against) >= max(10, len(held) + 1):
                    fate.update((id(r), "invalid") for r in held)
                    held, against = [], []
    alone = (len({r[1] for r in held}) > 1) != (len(sensors) > 1)
    if held and (watermark is None or len(held) >= 10 or (len(held) > 1 and not alone)):
        settle(2)
    fate.update((id(r), "invalid") for r in held)
    return [(reading, fate[id(reading)]) for reading in readings]


def reference(partitions, spec, limits):
    """Frames as {(step, sensor): value} and counts."""
    low, high = limits
    cells, counts = {}, Counts()
    for p, readings in enumerate(partitions):
        for (time, sensor, value, offset), verdict in judged(readings, spec):
            counts.read += 1
            if verdict != "used":
                setattr(counts, verdict, getattr(counts, verdict) + 1)
                continue
            bad = value is not None and not low <= value <= high
            shift = spec.offset - spec.interval // 2 * spec.nearest
            key = (time - shift) // spec.interval, sensor
            cells.setdefault(key, []).append((time, p, offset, value, bad))
    frames = {}
    for key, readings in cells.items():
        readings.sort(key=lambda r: r[:3])
        good = []
        for k, (time, _, _, value, bad) in enumerate(readings):
            others = [r for r in readings if r[0] == time and r is not readings[k]]
            earlier = [r[3] for r in readings[:k] if r[0] == time]
            dropped = {
                "drop-same": value in earlier,
                "first": bool(earlier),
                "last": bool(others)
                and readings[k + 1 : k + 2] != []
                and readings[k + 1][0] == time,
                "all": False,
            }[spec.duplicates]
            if dropped and not bad:
                counts.duplicate += 1
                continue
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
            dead += len(grid.end(p, NOW))
        for frame, unused in grid.closed():
            dead += sum(map(len, unused))
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
    duplicates=st.sampled_from(DUPLICATES),
    offset=st.integers(0, MINUTE - 1),
    nearest=st.booleans(),
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
    assert dead == settled.read - settled.used


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
    dead = [grid.add(0, batch(rows), NOW), grid.end(0, NOW)]
    assert [letters.schema for letters in dead] == [DEAD_LETTERS] * 2
    found = [d for letters in dead for d in letters.to_pylist()]
    assert sorted((place(d), d["reason"].split(":")[0]) for d in found) == [
        ("data.txt:2", "time before grid.earliest"),
        ("data.txt:3", "unknown series"),
        ("data.txt:4", "not a number any measurement can have"),
        ("data.txt:5", "rejected"),
        ("data.txt:6", "late"),
        ("data.txt:7", "time too far in the future"),
    ]


def steady(first, last, sensors="a", offset=0):
    """A reading of each sensor a minute."""
    rows = [(m * MINUTE, s) for m in range(first, last) for s in sensors]
    return [(time, s, 1.0, offset + i) for i, (time, s) in enumerate(rows)]


MINUTES = GridSpec(MINUTE, earliest=0)


def feed(rows, size=7, end=True):
    """A grid that was given the rows of one partition in pieces; reason of each dead letter."""
    grid = Grid(MINUTES, ["p"], NETWORK, {})
    letters = [grid.add(0, batch(rows[k : k + size]), NOW) for k in range(0, len(rows), size)]
    if end:
        letters.append(grid.end(0, NOW))
    reasons = {}
    for letter in (row for table in letters for row in table.to_pylist()):
        reasons.setdefault(letter["reason"], []).append(letter["offset"])
    return grid, reasons


AHEAD = "time too far ahead of the readings after it"


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("ahead", [25, 1440, 10**6])
def test_one_wrong_clock_costs_itself_only(size, ahead):
    rows = steady(100, 200)
    rows[50] = ((150 + ahead) * MINUTE, "b", 1.0, 50)
    grid, reasons = feed(rows, size)
    assert reasons == {AHEAD: [50]}
    assert grid.counts.used + grid.waiting == 99


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("wrong", [1, 3])
def test_first_readings_of_a_wrong_clock_cost_themselves_only(size, wrong):
    rows = steady(100, 200)
    rows[:wrong] = [(10**6 * MINUTE, "a", 1.0, k) for k in range(wrong)]
    _, reasons = feed(rows, size)
    assert reasons == {AHEAD: list(range(wrong))}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_after_an_outage_every_reading_is_used(size):
    grid, reasons = feed(steady(0, 50) + steady(50_000, 50_050, offset=50), size)
    assert reasons == {}
    assert grid.watermarks.lowest == 50_049 * MINUTE


def test_a_jump_is_believed_when_ten_records_of_two_sensors_agree():
    rows = steady(0, 20, "abc")
    one = steady(500, 550, "a", 60)
    grid, reasons = feed(rows + one, end=False)
    assert (grid.watermarks.lowest, reasons) == (19 * MINUTE, {})
    grid, reasons = feed(rows + one + steady(550, 551, "b", 110), end=False)
    assert (grid.watermarks.lowest, reasons) == (550 * MINUTE, {})


def test_the_values_of_one_record_agree_as_one():
    row = [(500 * MINUTE, s, 1.0, 60) for s in "abc"] * 4
    grid, reasons = feed(steady(0, 20, "abc") + row, end=False)
    assert (grid.watermarks.lowest, reasons) == (19 * MINUTE, {})


def test_a_sensor_that_reports_rarely_does_not_wait_for_others_for_ever():
    rows = [(k * 1440 * MINUTE, "a", 1.0, k) for k in range(20)]
    grid, reasons = feed(rows, end=False)
    assert (grid.watermarks.lowest, reasons) == (19 * 1440 * MINUTE, {})


def test_one_sensor_whose_clock_is_wrong_for_good_moves_nothing():
    rows = sorted(
        steady(0, 300, "bc") + [((m + 1440) * MINUTE, "a", 1.0, 0) for m in range(300)],
        key=lambda r: r[0] - 1440 * MINUTE * (r[1] == "a"),
    )
    rows = [(time, s, value, k) for k, (time, s, value, _) in enumerate(rows)]
    grid, reasons = feed(rows)
    assert set(reasons) == {AHEAD}
    assert len(reasons[AHEAD]) == 300 - grid.counts.late
    assert grid.watermarks.lowest == 299 * MINUTE


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_wrong_clock_is_not_believed_after_an_outage_either(size):
    good = [(m, s) for m in [*range(300), *range(5000, 5300)] for s in "bc"]
    wrong = [(m + 1440, "a") for m in [*range(300), *range(5000, 5300)]]
    rows = sorted([*good, *wrong], key=lambda r: r[0] - 1440 * (r[1] == "a"))
    rows = [(m * MINUTE, s, 1.0, k) for k, (m, s) in enumerate(rows)]
    grid, reasons = feed(rows, size)
    assert grid.counts.late == len(reasons.get("late: its step had been closed", [])) < 5
    assert len(reasons[AHEAD]) > 590
    assert grid.watermarks.lowest == 5299 * MINUTE


def test_readings_that_are_held_outlast_a_checkpoint():
    rows = steady(0, 50) + steady(50_000, 50_004, offset=50)
    before, _ = feed(rows, end=False)
    after = Grid(MINUTES, ["p"], NETWORK, {})
    meta, arrays = before.snapshot()
    after.restore(json.loads(json.dumps(meta)), arrays)
    assert after.settled() == before.settled()
    after.add(0, batch(steady(50_004, 50_050, offset=54)), NOW)
    assert after.watermarks.lowest == 50_049 * MINUTE
    assert after.counts.read == 100
    assert after.waiting == 100


def test_an_idle_partition_stops_holding_and_its_late_readings_are_counted():
    grid = Grid(GridSpec(MINUTE, earliest=0), ["p", "q"], NETWORK, {})
    grid.add(0, batch(steady(0, 15)), NOW)
    assert list(grid.closed()) == []
    assert grid.watermarks.idle(1)
    assert not grid.watermarks.idle(1)
    assert sum(len(f.values) for f, _ in grid.closed()) == 14
    dead = grid.add(1, batch(steady(5, 21, "b")), NOW)
    assert len(dead) == 9
    assert grid.counts.late == 9


def test_a_long_gap_comes_in_pieces_of_bounded_size():
    spec = GridSpec(MINUTE, earliest=0, future=10**15)
    grid = Grid(spec, ["p"], NETWORK, {}, most_cells=300)
    grid.add(0, batch([(0, "a", 1.0, 1), (1000 * MINUTE, "b", 2.0, 2)]), NOW)
    grid.end(0, NOW)
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
    grid.end(0, NOW)
    ((frame, _),) = grid.closed()
    assert frame.values[0, 0] == expected


@pytest.mark.parametrize(
    ("duplicates", "expected", "dropped"),
    [
        ("drop-same", 5.0, {"duplicate: the same value again": [2]}),
        (
            "first",
            2.0,
            {
                "duplicate: the same value again": [2],
                "duplicate: another value of this time counts": [3],
            },
        ),
        ("last", 3.0, {"duplicate: another value of this time counts": [1, 2]}),
        ("all", 7.0, {}),
    ],
)
def test_several_readings_of_one_time(duplicates, expected, dropped):
    spec = GridSpec(MINUTE, aggregate="sum", duplicates=duplicates, earliest=0)
    grid = Grid(spec, ["p"], NETWORK, {})
    grid.add(0, batch([(30, "a", 2.0, 1), (30, "a", 2.0, 2), (30, "a", 3.0, 3)]), NOW)
    grid.end(0, NOW)
    ((frame, unused),) = grid.closed()
    assert frame.values[0, 0] == expected
    letters = [row for table in unused for row in table.to_pylist()]
    found = {}
    for letter in letters:
        found.setdefault(letter["reason"], []).append(letter["offset"])
        assert (letter["partition"], letter["sensor"], letter["quantity"]) == ("p", "a", "t")
    assert found == dropped
    assert grid.counts.duplicate == len(letters)


def test_very_many_readings_of_one_time():
    rows = 300_000
    time, offset = np.full(rows, 30), np.arange(rows)
    value = np.random.default_rng(1).integers(0, 1000, rows).astype(float)
    many = pa.record_batch(
        [
            pa.array(time).cast(READINGS.field("time").type),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["a"])),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["t"])),
            pa.array(value),
            pa.array(offset),
        ],
        schema=READINGS,
    )
    grid = Grid(MINUTES, ["p"], NETWORK, {})
    grid.add(0, many, NOW)
    grid.end(0, NOW)
    ((frame, _),) = grid.closed()
    assert grid.counts.used == 1000
    assert frame.values[0, 0] == pytest.approx(499.5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 359.99), min_size=1, max_size=9), st.floats(0, 359))
def test_directions_have_the_mean_of_vectors_wherever_zero_is(angles, turn):
    def mean(of):
        grid = Grid(
            GridSpec(MINUTE, aggregate={"t": Circular(360.0)}, duplicates="all", earliest=0),
            ["p"], NETWORK, {},
        )  # fmt: skip
        grid.add(0, batch([(k, "a", x, k) for k, x in enumerate(of)]), NOW)
        grid.end(0, NOW)
        ((frame, _),) = grid.closed()
        return frame.values[0, 0]

    vector = sum(np.exp(1j * np.deg2rad(x)) for x in angles) / len(angles)
    if abs(vector) < 1e-6:
        return
    plain, turned = mean(angles), mean([(x + turn) % 360 for x in angles])
    assert 0 <= plain <= 360
    assert abs(np.exp(1j * np.deg2rad(plain)) - vector / abs(vector)) < 1e-6
    assert abs(np.exp(1j * np.deg2rad(turned - plain - turn)) - 1) < 1e-6


def test_each_quantity_has_its_own_aggregate():
    network = Network.of([Series("a", "rain"), Series("a", "wind"), Series("a", "t")])
    spec = GridSpec(MINUTE, aggregate={"rain": "sum", "wind": Circular(360.0)}, earliest=0)
    grid = Grid(spec, ["p"], network, {})
    rows = [("rain", 1.0), ("rain", 3.0), ("wind", 350.0), ("wind", 10.0), ("t", 1.0), ("t", 2.0)]
    grid.add(
        0,
        measured([(k / 60, "a", q, x, k) for k, (q, x) in enumerate(rows)]),
        START + MINUTE,
    )
    grid.end(0, NOW)
    ((frame, _),) = grid.closed()
    of = dict(zip((s.quantity for s in network.series), frame.values[0], strict=True))
    assert (of["rain"], of["t"]) == (4.0, 1.5)
    assert math.cos(math.radians(of["wind"])) == pytest.approx(1.0)
