"""Screening: planted faults are found, clean days left alone, and cuts of frames change nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from doubles import place
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.forecaster import Series
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.kernels.screening import median
from gapcast.engine.grid.screening import HOUR, Screener, ScreeningSpec
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.network.series import Network
from gapcast.engine.readings import READINGS

ROOT = Path(__file__).parents[2]
HALF = HOUR // 2
DAY = 48  # steps
SENSORS = 12
NETWORK = Network.of(Series(str(i), "t") for i in range(SENSORS))
FIRST = 500_000


def climate(days=5, seed=0):
    """(T, SENSORS) a daily cycle that all share, weather, an offset and noise of each."""
    random = np.random.default_rng(seed)
    t = np.arange(days * DAY)
    shared = 20 + 3 * np.sin(2 * np.pi * t / DAY) + random.normal(0, 0.1, len(t)).cumsum()
    own = random.normal(0, 0.15, (len(t), SENSORS))
    return shared[:, None] + random.normal(0, 1, SENSORS) + own


def judged(values, how=None, network=NETWORK, cuts=()):
    """What is left of `values`, as frames cut there, and every reason by (step, series)."""
    screen, left, why = Screener(network, HALF, how or ScreeningSpec()), values.copy(), {}
    for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True):
        found = screen.judge(FIRST + a, left[a:b])
        at = zip((found.step + a).tolist(), found.series.tolist(), strict=True)
        why |= dict(zip(at, found.reasons, strict=True))
    return left, why


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_median_is_that_of_numpy(values):
    a = np.empty(8)
    a[: len(values)] = values
    assert median(a, len(values)) == pytest.approx(np.median(values))


@pytest.mark.parametrize("seed", range(5))
def test_clean_days_are_left_alone(seed):
    assert judged(climate(seed=seed))[1] == {}


def test_the_sample_is_all_but_left_alone():
    with gzip.open(ROOT / "data/intel-lab-3days.txt.gz", "rt") as file:
        rows = [line.split() for line in file]
    network = Network.of(Series(r[3], "t") for r in rows)
    values = np.array([[float(r[c]) for r in rows] for c in (4, 5)]).reshape(2, 144, 50)
    for quantity in values:
        assert len(judged(quantity, network=network)[1]) <= 0.001 * quantity.size


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.sampled_from([-20.0, -6.0, 6.0, 20.0]), st.integers(0, SENSORS - 1))
def test_a_spike_is_rejected_and_nothing_else(seed, size, series):
    values = climate(seed=seed % 4)
    step = 2 * DAY + 5 * seed
    values[step, series] += size
    left, why = judged(values)
    assert list(why) == [(step, series)]
    assert why[step, series].startswith(f"outlier: {values[step, series]:.4g}, expected ")
    assert np.isnan(left).sum() == 1


def test_three_broken_neighbours_of_eight_accuse_no_one():
    values = climate()
    values[150, [4, 5, 6]] += 30.0
    assert list(judged(values)[1]) == [(150, 4), (150, 5), (150, 6)]


@pytest.mark.parametrize("change", [-8.0, 3.0, 8.0])
def test_what_all_do_is_no_fault(change):
    values = climate()
    values[3 * DAY :] += change
    assert judged(values)[1] == {}


def test_a_stuck_sensor_is_rejected_until_it_moves():
    values = climate()
    values[110:190, 3] = values[110, 3]
    _, why = judged(values)
    assert {series for _, series in why} == {3}
    first = min(step for step, _ in why)
    assert 116 <= first <= 110 + DAY // 4
    assert {step for step, _ in why} >= set(range(first, 190))
    assert why[first, 3].startswith(f"stuck at {values[110, 3]:.4g} since ")
    assert max(step for step, _ in why) < 193


def test_constant_is_no_fault_where_all_are():
    values = climate()
    values[110:190] = values[110]
    assert judged(values)[1] == {}


@pytest.mark.parametrize("rate", [10.0, 40.0, 70.0])
def test_a_sensor_that_drifts_away_is_rejected(rate):
    values = climate()
    values[100:, 3] += rate / DAY * np.arange(len(values) - 100)
    left, why = judged(values)
    assert {series for _, series in why} == {3}
    assert np.isnan(left[-DAY:, 3]).all()
    # By when it is no further away than what is usual and the time it is borne make it.
    rejected = min(step for step, _ in why)
    assert rejected - 100 <= 5 + DAY * 6 / rate + 12
    assert why[len(values) - 1, 3].startswith("drifting away from its neighbours since ")


def test_a_sensor_that_comes_back_is_believed_again():
    values = climate(days=8)
    values[100:200, 3] += np.linspace(0, 40, 100)
    left, _ = judged(values)
    assert np.isnan(left[180:200, 3]).all()
    assert not np.isnan(left[200 + DAY // 4 :, 3]).any()


def test_a_change_of_level_is_not_rejected_for_ever():
    values = climate(days=8)
    values[200:, 3] += 10.0
    left, _ = judged(values)
    assert np.isnan(left[200 : 200 + DAY // 2, 3]).all()
    assert not np.isnan(left[200 + 2 * DAY :, 3]).any()


def test_what_is_not_looked_for_is_not_found():
    values = climate()
    values[150, 2] += 30.0
    values[110:190, 3] = values[110, 3]
    values[100:, 6] += np.arange(len(values) - 100) / DAY * 10
    for how, names in (
        (ScreeningSpec(), {"outlier", "stuck", "drifting"}),
        (ScreeningSpec(outliers=False), {"stuck", "drifting"}),
        (ScreeningSpec(stuck=0), {"outlier", "drifting"}),
        (ScreeningSpec(drift=0), {"outlier", "stuck"}),
        (ScreeningSpec(quantities=("other",)), set()),
    ):
        reasons = judged(values, how)[1].values()
        assert {reason.split()[0].rstrip(":") for reason in reasons} == names


def faulty():
    values = climate(seed=3)
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    values[150, 2] += 30.0
    values[110:190, 3] = 21.5
    values[100:, 6] += np.arange(len(values) - 100) / DAY * 30
    return values


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 239), max_size=10))
def test_cuts_of_frames_change_nothing(cuts):
    whole, reasons = judged(faulty())
    left, why = judged(faulty(), cuts=sorted(cuts))
    assert np.array_equal(left, whole, equal_nan=True)
    assert why == reasons


@given(st.integers(1, 239))
@settings(max_examples=20, deadline=None)
def test_goes_on_from_a_snapshot(cut):
    whole, _ = judged(faulty())
    values = faulty()
    one, other = (Screener(NETWORK, HALF, ScreeningSpec()) for _ in range(2))
    one.judge(FIRST, values[:cut])
    other.restore(one.snapshot())
    other.judge(FIRST + cut, values[cut:])
    assert np.array_equal(values, whole, equal_nan=True)


def test_neighbours_are_the_nearest_where_positions_are_known():
    # Two rooms of different climates, their sensors numbered in turn.
    names = [Series(str(i), "t") for i in range(24)]
    positions = {str(i): (1000.0 * (i % 2) + i, 0.0) for i in range(24)}
    one, two = climate(seed=0), climate(seed=1)
    two[150:] += 12.0
    values = np.empty((len(one), 24))
    values[:, ::2], values[:, 1::2] = one, two
    values[200:, 4] += 12.0  # as the other room did, but not as this one
    left, why = judged(values, network=Network.of(names, positions))
    assert {series for _, series in why} == {4}
    assert np.isnan(left[200:210, 4]).all()


def readings(values):
    """Three readings a cell, the last of each twice, all in order of time."""
    rows = [
        ((FIRST + t) * HALF + k, str(s), values[t, s])
        for t in range(len(values))
        for k in (1, 2, 3, 3)
        for s in range(SENSORS)
    ]
    time, sensor, value = zip(*rows, strict=True)
    columns = [pa.array(time), pa.array(sensor), pa.array(["t"] * len(rows)), pa.array(value)]
    columns.append(pa.array(np.arange(len(rows))))
    names = READINGS.names
    table = pa.Table.from_arrays([pa.array(c) for c in columns], names).cast(
        pa.schema([pa.field(f.name, f.type) for f in READINGS])
    )
    return pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], schema=READINGS)


def test_the_grid_counts_and_tells_each_reading_of_a_rejected_cell():
    values = climate()
    values[150, 2] += 30.0
    grid = Grid(
        GridSpec(HALF, earliest=0, future=10**15), ["data.txt"], NETWORK, {},
        Screener(NETWORK, HALF, ScreeningSpec()),
    )  # fmt: skip
    dead = [grid.add(0, readings(values), 10**17)]
    grid.watermarks.end(0)
    closed = list(grid.closed())
    dead += [letters for _, unused in closed for letters in unused]
    counts = grid.settled()
    cells = values.size
    assert (counts.read, counts.used, counts.duplicate) == (4 * cells, 3 * cells - 3, cells)
    assert (counts.rejected, counts.late, counts.invalid) == (3, 0, 0)
    letters = pa.Table.from_batches(dead).to_pylist()
    again = [letter for letter in letters if letter["reason"].startswith("duplicate: the same")]
    assert len(again) == cells
    letters = [letter for letter in letters if letter not in again]
    assert len(letters) == 3
    offsets = [(150 * 4 + k) * SENSORS + 2 for k in range(3)]
    assert [place(letter) for letter in letters] == [f"data.txt:{o}" for o in offsets]
    assert {letter["sensor"] for letter in letters} == {"2"}
    assert all(letter["reason"].startswith("outlier: ") for letter in letters)
    ((frame, _),) = closed
    assert np.isnan(frame.values[150, 2])
    assert frame.rejected[150, 2] == pytest.approx(values[150, 2])
    assert frame.truth(np.arange(SENSORS))[150, 2] == pytest.approx(values[150, 2])


def test_a_grid_goes_on_from_a_snapshot_with_its_screen():
    values = faulty()
    values[np.isnan(values)] = 20.0

    def made():
        screen = Screener(NETWORK, HALF, ScreeningSpec())
        return Grid(GridSpec(HALF, earliest=0, future=10**15), ["p"], NETWORK, {}, screen)

    batch = readings(values)
    whole, one, other = made(), made(), made()
    whole.add(0, batch, 10**17)
    whole.watermarks.end(0)
    expected = np.concatenate([f.values for f, _ in whole.closed()])
    half = len(batch) // 2
    one.add(0, batch[:half], 10**17)
    before = [f.values for f, _ in one.closed()]
    other.restore(*one.snapshot())
    other.add(0, batch[half:], 10**17)
    other.watermarks.end(0)
    found = np.concatenate([*before, *(f.values for f, _ in other.closed())])
    assert np.array_equal(found, expected, equal_nan=True)
    assert other.counts == whole.counts


def alone(days=6, seed=0):
    """(T, 1) a sensor without neighbours that hardly ever repeats a value."""
    return climate(days, seed)[:, :1]


ALONE = Network.of([Series("0", "t")])


def test_a_series_that_never_stands_still_is_stuck_whatever_others_do():
    values = alone()
    values[150:230] = values[150]
    left, why = judged(values, network=ALONE)
    assert min(why) == (174, 0)
    assert np.isnan(left[174:230]).all()
    assert not np.isnan(left[240:]).any()


def test_no_rain_for_long_is_no_fault():
    values = np.maximum(alone(days=12) - 21, 0)
    values[150:160], values[300:560] = 0, 0
    assert judged(values, network=ALONE)[1] == {}


@pytest.mark.parametrize("end", [np.min, np.max])
def test_a_series_may_stay_at_an_end_of_what_it_can_say(end):
    values = alone()
    values[150:230] = end(values[:150])
    how = ScreeningSpec(outliers=False, drift=0)
    assert judged(values, how, network=ALONE)[1] == {}
    among = climate()
    among[[60, 70], 3] = end(among[:, 3])
    among[110:190, 3] = end(among[:, 3])
    assert judged(among, how)[1] == {}


def test_a_quantity_of_few_values_is_not_stuck_by_its_own_past():
    values = np.round(alone() / 2) * 2
    values[150:180] = 20
    assert judged(values, network=ALONE)[1] == {}


def test_what_is_only_flagged_lets_no_outlier_pass():
    values = climate(days=8)
    values[200:240, 3] += 30
    left, _ = judged(values, ScreeningSpec(reject=("outlier",)))
    assert np.isnan(left[200:240, 3]).all()
