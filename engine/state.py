"""Arrays of several parts in one flat mapping, each part's names beginning with its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, State

T = TypeVar("T")

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by name."""

Parcel = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""JSON values and arrays by name: what is written down or sent, never code."""


def below(arrays: Mapping[str, T], part: str) -> dict[str, T]:
    """The arrays whose names begin with ``part/``, without it."""
    start = f"{part}/"
    return {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}


def within(part: str, arrays: Mapping[str, T]) -> dict[str, T]:
    """The arrays under names that begin with ``part/``: what `below` takes apart."""
    return {f"{part}/{name}": array for name, array in arrays.items()}


def step_nested(forecaster: Forecaster, state: State, part: str, frame: Frame) -> Forecast:
    """Step a forecaster whose arrays are one part of another's `state`; they stay there."""
    own = below(state, part)
    forecast = forecaster.step(own, frame)
    state.update(within(part, own))
    return forecast


def extend_nested(
    forecaster: Forecaster, state: State, part: str, before: Layout, after: Layout
) -> State:
    """The arrays of a forecaster that are one part of another's `state`, extended (see
    `Forecaster.extend`), as that part of the other's."""
    return within(part, forecaster.extend(below(state, part), before, after))


def widened(old: State, fresh: State) -> State:
    """`fresh` with the entries of `old`, where it has an array of that name, at the beginning of
    every axis.

    What `Forecaster.extend` gives where every axis that grows with the layout, of units, targets,
    members or neighbours, has newcomers at its end.
    """
    return {name: _put(old[name], new) if name in old else new for name, new in fresh.items()}


def _put(old: NDArray[Any], fresh: NDArray[Any]) -> NDArray[Any]:
    found = fresh.copy()
    found[tuple(map(slice, old.shape))] = old
    return found
