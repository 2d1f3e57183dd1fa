"""Arrays of several parts in one flat mapping, each part's names beginning with its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from gapcast.engine.forecaster import Forecast, Forecaster, Frame, State

T = TypeVar("T")


def below(arrays: Mapping[str, T], part: str) -> dict[str, T]:
    """The arrays whose names begin with ``part/``, without it."""
    start = f"{part}/"
    return {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}


def step_part(forecaster: Forecaster, state: State, part: str, frame: Frame) -> Forecast:
    """Step a forecaster whose arrays are one part of another's `state`; they stay there."""
    own = below(state, part)
    forecast = forecaster.step(own, frame)
    state.update({f"{part}/{name}": array for name, array in own.items()})
    return forecast
