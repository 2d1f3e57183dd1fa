"""What `auto` says a forecast was made of: it adds up to the forecast, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_auto import HALF_HOUR, Auto, layout, view

from gapcast.engine.forecaster import Forecaster, Series
from gapcast.engine.shard.derived import Link, Through
from gapcast.engine.shard.vectors import ByVector
from gapcast.engine.state import below
from gapcast.plugins.derivations.dew_point.derivation import DewPoint
from gapcast.plugins.forecasters.auto.explaining import named
from gapcast.plugins.forecasters.auto.forecaster import _calendar
from gapcast.plugins.forecasters.auto.weighing import AGES
from gapcast.plugins.forecasters.persistence import Persistence

FIRST, SENSORS = 48_000, 6
SITUATIONS = {
    "nothing missing": [],
    "the target missing": [2],
    "neighbours missing": [0, 1, 4],
    "target and neighbours missing": [2, 3, 4],
    "one seen": [0, 1, 2, 3, 4],
    "the whole network missing": range(SENSORS),
}


def measured(steps, seed=0):
    rng = np.random.default_rng(seed)
    wave = 20 + 3 * np.sin(2 * np.pi * np.arange(steps) / 48)[:, None]
    common = 0.2 * rng.normal(size=(steps, 1)).cumsum(axis=0)
    return wave + common * rng.normal(1, 0.3, SENSORS) + 0.1 * rng.normal(size=(steps, SENSORS))


def asked(model, where, values, target, horizon, own=None):
    """What is said of the last step: its explanation, and its forecast as `step` makes it."""
    state = model.start(where)
    model.step(state, view(where, FIRST, values[:-1], None if own is None else own[:-1]))
    last = view(where, FIRST + len(values) - 1, values[-1:], None if own is None else own[-1:])
    found = model.explain({k: a.copy() for k, a in state.items()}, last, target, horizon)
    before = {k: a.copy() for k, a in state.items()}
    h = list(where.horizons).index(horizon)
    return found, float(model.step(state, last).mean[0, target, h]), before, last


@pytest.mark.parametrize("horizon", [0, 5])
@pytest.mark.parametrize("missing", SITUATIONS.values(), ids=SITUATIONS)
def test_weighted_experts_are_the_forecast(missing, horizon):
    values = measured(400)
    values[380:, list(missing)] = np.nan
    found, mean, *_ = asked(Auto(Auto.Params()), layout(SENSORS, (0, 5)), values, 2, horizon)
    assert found.mean == mean
    assert found.mixture == pytest.approx(mean, abs=1e-9)
    assert sum(said.weight for said in found.experts) == pytest.approx(1, abs=1e-9)
    names = {said.name for said in found.experts}
    assert names <= {*Auto.experts}
    together = horizon > 0 or len(missing) == SENSORS
    assert (names & {"joint", "few", "network"} == set()) == together
    assert all(said.error > 0 for said in found.experts if said.weight > 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.floats(0, 0.9), st.sampled_from([0, 3]))
def test_they_are_whatever_is_missing_and_however_little_is_known(seed, steps, share, horizon):
    rng = np.random.default_rng(seed)
    values = measured(steps + 1, seed)
    values[rng.random(values.shape) < share] = np.nan
    own = np.where(rng.random(values.shape) < share / 2, np.nan, values)
    found, mean, *_ = asked(
        Auto(Auto.Params()), layout(SENSORS, (0, 3)), values, 1, horizon, own
    )  # fmt: skip
    if found is None:
        assert np.isnan(mean)
        return
    assert found.mean == mean
    assert found.notes or found.mixture == pytest.approx(mean, abs=1e-9)
    if found.regression is not None:
        r = found.regression
        (said,) = [s for s in found.experts if (s.name, s.of) == (r.expert, r.of)]
        assert r.said + r.carried == pytest.approx(said.value, abs=1e-9)


@pytest.mark.parametrize("horizon", [0, 2])
@pytest.mark.parametrize("missing", [[], [2], [0, 1, 3, 4, 5]], ids=str)
def test_inputs_have_their_say(missing, horizon):
    """The last sensor is an input known two steps ahead; the frame has its leads behind it."""
    rng = np.random.default_rng(8)
    outside = rng.normal(size=402)
    values = 20 - 3 * outside[:400, None] + 0.3 * rng.normal(size=(400, SENSORS))
    values = np.column_stack([values, outside[:400], outside[2:]])
    values[395:, missing] = np.nan
    plain = layout(SENSORS + 1, (0, 2))
    where = replace(
        plain, targets=plain.targets[:SENSORS], units=plain.units[:SENSORS],
        regressors=plain.regressors[:SENSORS], companions=plain.companions[:SENSORS],
        inputs=np.array([SENSORS]), leads=np.array([[-1], [SENSORS + 1]]),
        series=(*plain.series, Series("ahead", "v")),
    )  # fmt: skip
    own = values[:, :SENSORS]
    found, mean, *_ = asked(Auto(Auto.Params()), where, values, 2, horizon, own)
    assert found.mean == mean
    assert found.mixture == pytest.approx(mean, abs=1e-9)
    told = sum(said.weight for said in found.experts if "inputs alone" in said.of)
    assert told > 0.5 or horizon == 0


def walking(seed):
    """Sensors that go their own ways, so that a few neighbours tell as much as all do."""
    return np.random.default_rng(seed).normal(size=(300, SENSORS)).cumsum(axis=0)


def adding(seed):
    """One sensor that is the sum of all others."""
    values = np.random.default_rng(seed).normal(size=(300, SENSORS))
    values[:, 2] += values[:, [0, 1, 3, 4, 5]].sum(axis=1) - 0.9 * values[:, 2]
    return values


def beginning(seed):
    """The first two days of sensors that are alike."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(300, 1)).cumsum(axis=0) + 0.3 * rng.normal(size=(300, SENSORS))


@pytest.mark.parametrize(
    ("make", "expert"), [(walking, "few"), (adding, "joint"), (beginning, "network")]
)
def test_neighbours_parts_are_what_the_expert_said(make, expert):
    """What an expert said beyond its neighbours' parts is what is left of its last residual, known
    from the state by itself."""
    experts = []
    for seed in range(4):
        for missing in ([2], [0, 4], [2, 3]):
            values = make(seed)[: 20 if expert == "network" else 300]
            values[-5:, missing] = np.nan
            found, _, before, last = asked(Auto(Auto.Params()), layout(SENSORS), values, 2, 0)
            if found.regression is not None:
                experts.append(found.regression.expert)
                read_right(found.regression, before, last, missing)
    assert expert in experts


def read_right(r, before, last, missing):
    w = below(before, "weighing")
    place = {name: e for e, name in enumerate(zip(*labels(), strict=True))}
    e, k = place[r.expert, r.of], int(np.argmax(w["age"][0, 2] + 1 <= AGES * 1.4142))
    left = np.clip(w["lagged"][0, k, e, 2] / w["power"][0, k, e, 2], 0, 1)
    if r.expert != "network" or missing == [2]:  # that one has stand-ins for those missing
        assert r.carried == pytest.approx(left * w["residual"][0, e, 2], abs=1e-7)
    seen = {read.column for read in r.reads if not np.isnan(read.value)}
    assert not seen & {2, *missing}
    assert all(last.values[0, read.column] == read.value for read in r.reads if read.part)
    nearest = {*below(before, "moments")["near"][0, 2, :4].tolist()}
    assert {*missing} & nearest == {read.column for read in r.reads} - seen


def labels():
    calendar = _calendar(HALF_HOUR)
    groups = [0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5, 5, 4, 6, 7]
    return [Auto.experts[g] for g in groups], named(calendar, HALF_HOUR)


def test_every_expert_has_a_name_of_its_own():
    pairs = [*zip(*labels(), strict=True)]
    assert len({*pairs}) == len(pairs) == 16
    assert ("harmonics", "day and week and year") in pairs
    assert named(_calendar(48 * HALF_HOUR), 48 * HALF_HOUR)[8:] == [
        "week", "week", "week and year", "period found", "", ""
    ]  # fmt: skip


def test_a_bound_that_acts_is_told():
    rng = np.random.default_rng(4)
    rain = 0.1 * rng.normal(size=(600, SENSORS)) + rng.normal(size=(600, 1))
    rain[:, 0] = np.maximum(rain[:, 0], 0)
    told = []
    for last in range(560, 600):
        found, mean, *_ = asked(Auto(Auto.Params()), layout(SENSORS), rain[: last + 1], 0, 0)
        assert found.mean == mean
        if found.notes:
            told.append(found)
            assert mean == 0 > found.mixture
            assert "lower bound" in found.notes[0]
        else:
            assert found.mixture == pytest.approx(mean, abs=1e-9)
    assert told


def test_one_value_is_held_without_any_expert_known():
    values = np.full((2, 1), np.nan)
    values[0] = 7.0
    found, mean, *_ = asked(Auto(Auto.Params()), layout(1), values, 0, 0)
    assert (found.mean, found.mixture, mean) == (7, 7, 7)
    assert found.notes
    assert asked(Auto(Auto.Params()), layout(1), values[1:], 0, 0)[0] is None


def test_other_models_do_not_explain_themselves():
    found, *_ = asked(Persistence(Persistence.Params()), layout(2), measured(9)[:, :2], 0, 0)
    assert found is None
    assert Forecaster.explain is Persistence.explain


def moist():
    """A layout of three sensors' temperature through their humidity, and values."""
    t = np.arange(300)
    rng = np.random.default_rng(2)
    dew = 5 + 0.05 * rng.normal(size=300).cumsum()[:, None] + 0.02 * rng.normal(size=(300, 3))
    air = dew + 8 + 4 * np.sin(2 * np.pi * t / 48)[:, None] + rng.normal(size=(300, 3))
    # August-Roche-Magnus, over water
    moist = 100 * np.exp(17.625 * dew / (243.04 + dew) - 17.625 * air / (243.04 + air))
    columns = tuple(Series(str(i), q) for q in ("humidity", "temperature") for i in range(3))
    none = np.empty((3, 1, 0), np.int64)
    members, place = np.array([[3, 4, 5]]), np.array([[0], [1], [2]])
    where = replace(
        layout(3), series=columns, targets=np.array([3, 4, 5]), regressors=none,
        companions=place, members=members, partners=np.array([3, 4, 5, 0, 1, 2]),
    )  # fmt: skip
    return where, np.column_stack([moist, air])


def test_what_is_derived_is_explained_in_its_own_units():
    where, values = moist()
    model = Through.of(
        Auto(Auto.Params()), [Link(DewPoint(DewPoint.Params()), "temperature", "humidity")]
    )
    values[295:, 3] = np.nan
    found, mean, *_ = asked(model, where, values, 0, 0)
    assert found.derived == "DewPoint of temperature and humidity"
    assert found.mixture == pytest.approx(found.mean, abs=1e-9)
    back = DewPoint(DewPoint.Params()).inverse(np.array([found.mean]), values[-1:, 0])
    assert back[0] == pytest.approx(mean, abs=1e-9)
    best = max(found.experts, key=lambda said: said.weight)
    assert abs(best.back - mean) < abs(best.value - mean)
    assert f"turns it back into {mean:.6g}" in found.notes[-1]
    values[-1, 0] = np.nan
    found, mean, *_ = asked(model, where, values, 0, 0)
    assert found.derived is None
    assert found.mean == mean
    nothing = np.full((2, 6), np.nan)
    assert asked(model, where, nothing, 0, 0)[0] is None


def test_angles_are_not_explained_and_what_is_beside_them_is():
    columns = (Series("a", "direction"), Series("a", "speed"))
    where = replace(layout(2), series=columns, units=np.arange(2), members=np.array([[0], [1]]))
    model = ByVector.of(Auto(Auto.Params()), {"direction": 360.0})
    values = measured(50)[:, :2]
    assert asked(model, where, values, 0, 0)[0] is None
    found, mean, *_ = asked(model, where, values, 1, 0)
    assert found.mean == mean
