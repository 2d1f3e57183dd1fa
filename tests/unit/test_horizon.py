"""Horizons: the one place that says what below 0, 0 and above 0 mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapcast.engine.forecaster import Model
from gapcast.engine.horizon import NOWCAST, Horizon, Horizons, Kind
from gapcast.plugins.forecasters.persistence import Persistence

STEPS = st.lists(st.integers(-50, 50), max_size=8)


@pytest.mark.parametrize(
    ("steps", "kind", "lag", "lead", "asked"),
    [(-3, Kind.SMOOTHED, 3, 0, 0), (0, Kind.NOWCAST, 0, 0, 0), (5, Kind.FORECAST, 0, 5, 5)],
)
def test_what_a_horizon_means(steps, kind, lag, lead, asked):
    horizon = Horizon(steps)
    assert (horizon.kind, horizon.lag, horizon.lead, horizon.asked) == (kind, lag, lead, asked)
    assert (horizon, json.dumps(horizon), f"{horizon:+d}") == (steps, str(steps), f"{steps:+d}")


def test_they_are_a_tuple_ascending_each_once():
    assert Horizons([3, -2, 0, 3]) == (-2, 0, 3)
    assert Horizons([]) == ()


@given(STEPS)
def test_a_row_is_made_from_what_the_forecaster_was_asked_for(steps):
    horizons = Horizons(steps)
    assert set(horizons.asked) == {h.asked for h in horizons}
    assert all(h.kind is not Kind.SMOOTHED for h in horizons.asked)
    assert horizons.asked.asked == horizons.asked
    assert (NOWCAST in horizons.asked) == any(h <= 0 for h in steps)


@given(STEPS)
def test_every_horizon_stands_at_the_place_of_its_lag(steps):
    horizons = Horizons(steps)
    placed = [h for lag in (*horizons.lags[::-1], 0) for h in horizons[horizons.places(lag)]]
    assert placed == list(horizons)
    for lag in (*horizons.lags, 0, 99):
        assert [h.lag for h in horizons[horizons.places(lag)]] == [
            h.lag for h in horizons if h.lag == lag
        ]


@given(STEPS)
def test_lags_and_leads_are_how_far_back_and_ahead_it_goes(steps):
    horizons = Horizons(steps)
    assert list(horizons.lags) == sorted({-h for h in steps if h < 0})
    assert horizons.furthest == max([0, *steps])


def test_a_model_holds_its_horizons_in_order():
    model = Model("m", Persistence(Persistence.Params()), (5, -2))
    assert (model.horizons, model.asked) == ((-2, 5), (0, 5))
    assert model.horizons.lags == (2,)
    assert Model("m", Persistence(Persistence.Params())).horizons == (0,)
