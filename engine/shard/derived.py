"""Forecasting a quantity through one that is derived of it and another of the same sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.derivation import Derivation
from gapcast.engine.description import Description, created, describe
from gapcast.engine.explanation import Explanation, Said
from gapcast.engine.forecaster import (
    Floats,
    Forecast,
    Forecaster,
    Frame,
    Ints,
    Layout,
    Needs,
    State,
)
from gapcast.engine.horizon import NOWCAST
from gapcast.engine.state import below, extend_nested, step_nested

PLAIN, DERIVED = "plain", "derived"
REACH = 10.0
"""How far from the plain nowcast one turned back may be, in standard deviations by the plain one's
interval. Chosen by experiment, see docs/derived.md."""


class Link(NamedTuple):
    """A derivation and the quantities it is used on: of the value, and of its companion."""

    derivation: Derivation
    value: str
    companion: str


class Through(Forecaster):
    """A forecaster, and the same once more on derived quantities.

    The second has each value that can be derived replaced by its derived quantity, targets' own
    values too, each of what the target's model may see. A nowcast is the second's, turned back by
    the target's own companion of the step, where its interval is the narrower one and it is not
    farther than `REACH` from the first's: a companion that always told little, or goes wrong now,
    is not believed. Everywhere else, as where the companion is missing or withheld, for all other
    targets and horizons, it is the first's, to the last bit.

    Cost and state: twice the forecaster's.
    """

    class Params(plugin.Params):
        forecaster: Description = Field(description="The forecaster, as `describe` puts it.")
        links: tuple[tuple[Description, str, str], ...] = Field(
            description="Derivations, so described, with value and companion; each value once."
        )

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.forecaster: Forecaster = created(params.forecaster)
        self.links = tuple(Link(created(of), a, b) for of, a, b in params.links)
        self.horizons = self.forecaster.horizons
        self.experts = self.forecaster.experts
        self.state_version = self.forecaster.state_version

    @classmethod
    def of(cls, forecaster: Forecaster, links: Sequence[Link]) -> Through:
        """`forecaster` through `links`, no two of the same value."""
        described = tuple((describe(of), a, b) for of, a, b in links)
        return cls(cls.Params(forecaster=describe(forecaster), links=described))

    def needs(self) -> Needs:
        """What the forecaster reads, and the companion of all that can be derived."""
        pairs = tuple((link.value, link.companion) for link in self.links)
        return replace(self.forecaster.needs(), partners=pairs)

    def start(self, layout: Layout) -> State:
        """Two fresh states."""
        inner = _inner(layout)
        return {
            f"{part}/{name}": array
            for part in (PLAIN, DERIVED)
            for name, array in self.forecaster.start(inner).items()
        }

    def step(self, state: State, frame: Frame) -> Forecast:
        """Both step; then nowcasts are turned back where they can be."""
        layout, partners = frame.layout, frame.companions[..., -1]
        view, other = self._both(frame)
        plain = step_nested(self.forecaster, state, PLAIN, view)
        derived = step_nested(self.forecaster, state, DERIVED, other)
        for link, _, targets in self._places(layout):
            inverse = partial(link.derivation.inverse, companion=_at(partners, targets))
            reach = REACH / NormalDist().inv_cdf((1 + layout.level) / 2)
            for now in np.flatnonzero(layout.horizons == NOWCAST):
                plain = _turned_back(plain, derived, inverse, targets, now, reach)
        return plain

    def explain(self, state: State, frame: Frame, target: int, horizon: int) -> Explanation | None:
        """The forecaster's own, of plain or of derived values, whichever is forecast."""
        copies = {name: array.copy() for name, array in state.items()}
        forecast, view = self.step(copies, frame), self._both(frame)
        copies = {name: array.copy() for name, array in state.items()}
        plain = step_nested(self.forecaster, copies, PLAIN, view[0])
        at = 0, target, int(np.searchsorted(frame.layout.horizons, horizon))
        if np.isnan(forecast.mean[at]):
            return None
        if forecast.mean[at] == plain.mean[at]:
            return self.forecaster.explain(below(state, PLAIN), view[0], target, horizon)
        found = self.forecaster.explain(below(state, DERIVED), view[1], target, horizon)
        if found is None:
            return None
        quantity = frame.layout.series[frame.layout.targets[target]].quantity
        link = next(link for link in self.links if link.value == quantity)
        companion, mean = frame.companions[0, target, -1:], forecast.mean[at]

        def back(said: Said) -> Said:
            value = link.derivation.inverse(np.array([said.value]), companion)
            return replace(said, back=float(value[0]))

        note = (
            f"The {link.companion} of the step, {companion[0]:.6g}, turns it back into {mean:.6g}."
        )
        return replace(
            found,
            experts=[back(said) for said in found.experts],
            notes=(*found.notes, note),
            derived=f"{type(link.derivation).__name__} of {quantity} and {link.companion}",
        )

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Both states, each by the forecaster."""
        layouts = _inner(before), _inner(after)
        return extend_nested(self.forecaster, state, PLAIN, *layouts) | extend_nested(
            self.forecaster, state, DERIVED, *layouts
        )

    def migrate(self, state: Mapping[str, NDArray[np.generic]], version: int) -> State:
        """Both states, each by the forecaster."""
        return {
            f"{part}/{name}": array
            for part in (PLAIN, DERIVED)
            for name, array in self.forecaster.migrate(below(state, part), version).items()
        }

    def _both(self, frame: Frame) -> tuple[Frame, Frame]:
        """The frame as the forecaster alone would have it, plain and with derived values."""
        layout, partners = frame.layout, frame.companions[..., -1]
        view = replace(
            frame,
            layout=_inner(layout),
            companions=np.ascontiguousarray(frame.companions[..., :-1]),
        )
        other = replace(view, values=frame.values.copy(), own=frame.own.copy())
        for link, columns, targets in self._places(layout):
            forward = link.derivation.forward
            value, own = _at(frame.values, columns), _at(frame.own, targets)
            other.values[:, columns] = forward(value, _of_partners(frame, columns))
            other.own[:, targets] = forward(own, _at(partners, targets))
        return view, other

    def _places(self, layout: Layout) -> Iterator[tuple[Link, Ints, Ints]]:
        """Each link with its values' columns, inputs left as they are, and with the indices of its
        targets."""
        for link in self.links:
            columns = layout.of_quantity.get(link.value, np.empty(0, np.int64))
            columns = columns[~np.isin(columns, layout.inputs)]
            yield link, columns, np.flatnonzero(np.isin(layout.targets, columns))


_COLUMNS = ("mean", "lower", "upper")


def _inner(layout: Layout) -> Layout:
    """The layout as the forecaster alone would have it."""
    none = layout.partners[:0]
    companions = np.ascontiguousarray(layout.companions[:, :-1])
    return replace(layout, companions=companions, partners=none)


def _at(array: Floats, columns: Ints) -> Floats:
    """(T, K) some columns of a (T, .) array, in C order."""
    return np.take(array, columns, axis=1)


def _of_partners(frame: Frame, columns: Ints) -> Floats:
    """(T, K) values of the partners of `columns`, NaN where there is none."""
    partners = frame.layout.partners[columns]
    found = _at(frame.values, partners)
    found[:, partners < 0] = np.nan
    return found


def _turned_back(
    plain: Forecast,
    derived: Forecast,
    inverse: Callable[[Floats], Floats],
    targets: Ints,
    now: np.intp,
    reach: float,
) -> Forecast:
    """`plain`, but what `inverse` makes of `derived` for these targets' nowcasts where it can and
    is to be trusted.

    now: place of horizon 0. reach: how far the two may be apart, in halves of the plain one's
    interval. An interval is turned back whole, or the forecast is not.
    """

    def back(array: Floats) -> Floats:
        return inverse(_at(array[..., now], targets))

    mean, lower, upper = (back(getattr(derived, n)) for n in _COLUMNS)
    bounded = ~np.isnan(_at(derived.lower[..., now], targets))
    there = ~np.isnan(mean) & (~bounded | ~np.isnan(lower + upper))
    before, low, high = (_at(getattr(plain, n)[..., now], targets) for n in _COLUMNS)
    there &= ~(upper - lower >= high - low)  # an interval that is not there rejects nothing
    there &= ~(np.abs(mean - before) > reach * (high - low) / 2)

    def put(into: NDArray[Any], found: NDArray[Any]) -> NDArray[Any]:
        into = into.copy()
        at = (slice(None), targets, now)[: into.ndim]
        into[at] = np.where(there, found, into[at])
        return into

    changed = {
        "mean": put(plain.mean, mean),
        "lower": put(plain.lower, np.minimum(lower, mean)),
        "upper": put(plain.upper, np.maximum(upper, mean)),
    }
    for name in ("regressors", "experts"):
        ours, theirs = getattr(plain, name), getattr(derived, name)
        if ours is not None and theirs is not None:
            changed[name] = put(ours, theirs[:, targets, now])
    if plain.reference is not None and derived.reference is not None:
        reference = inverse(_at(derived.reference, targets))
        changed["reference"] = put(plain.reference, reference)
    return replace(plain, **changed)
