"""The table of scores: what its lines come to, and that everything goes by it."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gapcast.engine.backtesting.scores import BACKTEST, BACKTEST_BY_GAP
from gapcast.engine.cli.run import score_table
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.metrics import BY_NAME, METRICS, Unit
from gapcast.engine.report.scores import ERRORS
from gapcast.engine.shard.results import ModelRows, Steps
from gapcast.engine.shard.scoring import GAP_AGES, GAP_SCORES, SCORES, Scorer, names, table
from gapcast.plugins.forecasters.persistence import Persistence

MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
OBSERVED, MISSING = 0, 1
WIDTHS = st.floats(0.001, 1000)


def scored(
    mean, lower, upper, truth, *, horizons=(0,), level=0.9, age=None, interval=HOUR, cuts=()
):
    """Rows of the run's scores and of those by gap age, as dicts; arrays as in `ModelRows`."""
    mean, lower, upper = (np.asarray(a, float) for a in (mean, lower, upper))
    truth = np.asarray(truth, float)
    T, N = truth.shape
    scorer = Scorer(
        N, Model("m", Persistence(Persistence.Params()), horizons, level), interval, DAY
    )
    status = np.where(np.isnan(truth), MISSING, OBSERVED).astype(np.uint8)
    steps = Steps(truth, status, np.ones((T, N), np.int32) if age is None else age, status * 0)
    rows = ModelRows(mean, lower, upper)
    for a, b in zip((0, *cuts), (*cuts, T), strict=True):
        scorer.add(a, rows.cut(slice(a, b)), {0: steps.cut(slice(a, b))}, "observed")
    targets = names([Series(str(n), "t") for n in range(N)])
    bounds = {"start": 0, "end": T * interval}
    gaps = {"gap": pa.array(list(GAP_AGES))}
    return (
        table(scorer.state["total"], targets, "m", horizons, bounds, SCORES).to_pylist(),
        table(scorer.state["by_gap"], targets, "m", horizons, gaps, GAP_SCORES).to_pylist(),
    )


def score(name, error, below, above, level=0.9):
    """The score of one forecast, whose truth is 3 and whose bounds are so far from it."""
    mean = 3.0 + error
    ((row,), _) = scored([[[mean]]], [[[mean - below]]], [[[mean + above]]], [[3.0]], level=level)
    return row[name]


def test_files_report_and_backtest_have_its_columns_the_oldest_first():
    columns = [metric.name for metric in METRICS]
    assert columns[:4] == ["mse", "mae", "bias", "coverage"]
    for schema in (SCORES, GAP_SCORES, BACKTEST, BACKTEST_BY_GAP):
        assert schema.names[schema.names.index("n") + 1 :] == columns
    assert list(ERRORS) == ["n", *columns]


def chance(seed, shape=(300, 4, 3)):
    """Forecasts, bounds and truths; some of each are not there."""
    random = np.random.default_rng(seed)
    truth = random.normal(20, 5, shape[:2])
    mean = truth[..., None] + random.normal(0, 2, shape)
    lower, upper = mean - random.gamma(2, 1, shape), mean + random.gamma(2, 1, shape)
    for array in (mean, lower, upper, truth):
        array[random.random(array.shape) < 0.1] = np.nan
    return mean, lower, upper, truth


def test_scores_are_what_their_names_say():
    mean, lower, upper, truth = chance(1)
    rows, _ = scored(mean, lower, upper, truth, horizons=(0, 1, 5))
    assert len(rows) == 4 * 3
    for row in rows:
        n, h = int(row["sensor"]), (0, 1, 5).index(row["horizon"])
        error = mean[:, n, h] - truth[:, n]
        error = error[~np.isnan(error)]
        low, high = lower[:, n, h], upper[:, n, h]
        bounded = ~np.isnan(low + high + mean[:, n, h] + truth[:, n])
        inside = (low <= truth[:, n]) & (truth[:, n] <= high)
        assert row["n"] == len(error)
        assert row["mse"] == pytest.approx(np.mean(error**2), rel=1e-12)
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
        assert row["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-12)
        assert row["bias"] == pytest.approx(np.mean(error), rel=1e-12)
        assert row["coverage"] == pytest.approx(np.mean(inside[bounded]), rel=1e-12)


def test_no_bit_depends_on_where_steps_are_cut():
    whole = scored(*chance(2), horizons=(0, 1, 5))
    assert scored(*chance(2), horizons=(0, 1, 5), cuts=(1, 2, 50, 299)) == whole


@pytest.mark.parametrize("minutes", [1, 7, 30, 60, 100, 2000])
def test_ages_fall_in_their_classes_whatever_the_step(minutes):
    age = np.arange(1, 3000, dtype=np.int32)[:, None]
    ones = np.ones((len(age), 1, 1))
    _, rows = scored(ones, ones, ones, ones[..., 0], age=age, interval=minutes * MINUTE)
    gap = age[:, 0] * minutes
    counts = [np.sum(gap < 60), np.sum(gap < 360), np.sum(gap < 1440), len(gap)]
    expected = dict(zip(GAP_AGES, np.diff(counts, prepend=0).tolist(), strict=True))
    assert {row["gap"]: row["n"] for row in rows} == {k: n for k, n in expected.items() if n}


def integrated(error, below, above, level):
    """CRPS of the implied distribution as the integral it is: of (F(x) - [x >= truth])²."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    points, weights = np.polynomial.legendre.leggauss(40)
    lowest, highest = -12 * below / z, 12 * above / z
    truth = -error  # the forecast is at 0
    edges = sorted({lowest, 0.0, highest, truth})
    total = 0.0
    for a, b in pairwise(edges):
        for c, d in pairwise(np.linspace(a, b, 41)):
            x = (c + d) / 2 + (d - c) / 2 * points
            deviation = np.where(x < 0, below, above) / z
            F = [(1 + math.erf(v / math.sqrt(2))) / 2 for v in x / deviation]
            total += (d - c) / 2 * np.sum(weights * (np.array(F) - (x >= truth)) ** 2)
    return total


@given(
    error=st.floats(-20, 20), below=st.floats(0.1, 10), above=st.floats(0.1, 10),
    level=st.sampled_from([0.5, 0.8, 0.9, 0.99]),
)  # fmt: skip
@example(error=0.0, below=1.0, above=1.0, level=0.9)
@example(error=-2.0, below=0.1, above=9.0, level=0.9)
@example(error=2.0, below=0.1, above=9.0, level=0.9)
def test_crps_is_the_integral_over_the_implied_distribution(error, below, above, level):
    found = score("crps", error, below, above, level)
    expected = integrated(error, below, above, level)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-9 * (below + above))


def test_the_implied_distribution_has_its_quantiles_at_the_bounds():
    """The derivative of CRPS by the truth is 2 F(truth) - 1."""
    step = 1e-4
    for below, above in ((1.0, 1.0), (0.5, 3.0)):
        for at, share in ((-below, 0.05), (0.0, 0.5), (above, 0.95)):
            more, less = (score("crps", -at - s, below, above) for s in (step, -step))
            assert (more - less) / (2 * step) == pytest.approx(2 * share - 1, abs=1e-4)


@given(x=st.floats(0, 40), half=WIDTHS)
def test_crps_of_even_bounds_is_that_of_a_normal_distribution(x, half):
    normal = NormalDist()
    deviation = half / normal.inv_cdf(0.95)
    expected = deviation * (
        x * (2 * normal.cdf(x) - 1) + 2 * normal.pdf(x) - 1 / math.sqrt(math.pi)
    )
    assert score("crps", x * deviation, half, half) == pytest.approx(expected, rel=1e-7)


def test_an_interval_that_is_honest_wins():
    random = np.random.default_rng(3)
    truth = random.normal(0, 1, (20_000, 1))
    z = NormalDist().inv_cdf(0.95)
    found = []
    for width in (0.5, 0.9, 1.0, 1.1, 2.0):
        half = np.full((len(truth), 1, 1), width * z)
        ((row,), _) = scored(0 * half, -half, half, truth)
        found.append(row["crps"])
    assert min(found) == found[2]
    assert found[2] == pytest.approx(1 / math.sqrt(math.pi), abs=0.01)


def test_crps_of_an_interval_without_width_is_the_error():
    assert score("crps", 1.5, 0.0, 0.0) == score("mae", 1.5, 0.0, 0.0) == 1.5
    assert score("crps", 0.0, 0.0, 0.0) == 0.0


def test_crps_of_a_bound_on_the_wrong_side_is_that_of_one_at_the_forecast():
    for error in (-1.0, 0.0, 1.0):
        assert score("crps", error, -0.5, 2.0) == score("crps", error, 0.0, 2.0)
        assert score("crps", error, 2.0, -0.5) == score("crps", error, 2.0, 0.0)


@pytest.mark.parametrize(("below", "above"), [(math.inf, 1), (1, math.inf), (math.inf, math.inf)])
@pytest.mark.parametrize("error", [-1.0, 0.0, 1.0])
def test_crps_of_an_interval_without_end_is_infinite(error, below, above):
    assert score("crps", error, below, above) == math.inf


def test_without_an_interval_there_is_neither_coverage_nor_crps():
    for below, above in ((math.nan, 1.0), (1.0, math.nan), (math.nan, math.nan)):
        assert score("coverage", 1.0, below, above) is None
        assert score("crps", 1.0, below, above) is None
        assert score("rmse", 1.0, below, above) == 1.0


def test_crps_is_over_the_forecasts_that_have_an_interval():
    mean, half = np.full((2, 1, 1), 1.0), np.array([[[1.0]], [[math.nan]]])
    ((row,), _) = scored(mean, mean - half, mean + half, [[0.0], [5.0]])
    assert (row["n"], row["mae"]) == (2, 2.5)
    assert row["crps"] == score("crps", 1.0, 1.0, 1.0)


GROUPS = st.lists(st.tuples(st.none() | st.floats(0, 100), st.integers(1, 50)), max_size=6)


@given(groups=GROUPS, seed=st.randoms())
def test_pooled_scores_do_not_depend_on_the_order(groups, seed):
    other = list(groups)
    seed.shuffle(other)
    for metric in METRICS:
        assert metric.pooled(groups) == metric.pooled(other)


def test_a_pooled_root_is_the_root_of_what_is_pooled():
    assert BY_NAME["rmse"].pooled([(3.0, 1), (0.0, 3), (None, 9)]) == 1.5
    assert BY_NAME["mae"].pooled([(3.0, 1), (0.0, 3), (None, 9)]) == 0.75
    assert BY_NAME["crps"].pooled([(None, 9)]) is None


def test_scores_are_written_by_their_unit():
    assert BY_NAME["mse"].written(0.12345) == "0.1235"
    assert BY_NAME["coverage"].written(0.9) == "90.0%"
    units = {metric.name: metric.unit for metric in METRICS}
    assert units == {
        "mse": Unit.SQUARE, "mae": Unit.SAME, "bias": Unit.SAME, "coverage": Unit.SHARE,
        "rmse": Unit.SAME, "crps": Unit.SAME,
    }  # fmt: skip


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_score_grows_with_what_is_measured_as_its_unit_says(metric):
    """Readings in another unit, ten of the old one: scores follow."""
    mean, lower, upper, truth = chance(5)
    power = {Unit.SAME: 1, Unit.SQUARE: 2, Unit.SHARE: 0}[metric.unit]
    one, ten = (
        scored(mean * by, lower * by, upper * by, truth * by, horizons=(0, 1, 5))[0]
        for by in (1, 10)
    )
    for a, b in zip(one, ten, strict=True):
        assert b[metric.name] == pytest.approx(a[metric.name] * 10**power, rel=1e-9)


def test_the_table_that_ends_a_run_shows_the_short_ones():
    """As means over the series that have the score."""
    rows = [
        {"sensor": "1", "n": 3, "mse": 4.0, "mae": 2.0, "bias": -2.0, "coverage": 1.0, "crps": 0.5},
        {
            "sensor": "2",
            "n": 1,
            "mse": 1.0,
            "mae": 1.0,
            "bias": 1.0,
            "coverage": None,
            "crps": None,
        },
    ]
    more = {"quantity": "t", "model": "m", "horizon": 0, "rmse": 1.0}
    result = SimpleNamespace(
        scores=pa.Table.from_pylist([row | more for row in rows], SCORES),
        counts=SimpleNamespace(read=100), model_seconds={"m": 0.5, "silent": 0.0},
    )  # fmt: skip
    columns = {c.header: list(map(str, c.cells)) for c in score_table(result).columns}
    assert columns == {
        "model": ["m", "silent"], "MSE": ["2.5000", "-"], "MAE": ["1.5000", "-"],
        "bias": ["-0.5000", "-"], "CRPS": ["0.5000", "-"], "n": ["4", "-"],
        "readings/s": ["200", "-"],
    }  # fmt: skip
