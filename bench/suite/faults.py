"""Faults planted into a set: what broken sensors say, in units of each series' own spread."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from suite.patterns import Mask, day
from suite.sets import Floats, Network

CELSIUS = ("elec", "sst", "field", "lab", "station")
"""Sets of which at least some series are temperatures in degC."""
_TEMPERATURES = {"elec": ("Temperature",), "station": ("DryBulb", "DewPoint")}
"""Of a set that measures other things as well, the endings of the temperatures' names."""


class Spell(NamedTuple):
    """A fault of one series: steps [begin, end)."""

    series: int
    begin: int
    end: int


@dataclass(frozen=True)
class Planted:
    """values (T, N) with faults; where (T, N) the cells that a fault has changed; spells."""

    values: Floats
    where: Mask
    spells: list[Spell]


Fault = Callable[[Floats, "Place"], Floats]
"""What the steps of a spell say instead of the truth (L,)."""


@dataclass(frozen=True)
class Place:
    """Where a fault is planted. spread: the series' own, in its units; day: steps in a day."""

    network: Network
    spell: Spell
    spread: float
    day: int
    random: np.random.Generator


def spike(size: float) -> Fault:
    """One value is `size` spreads too high or too low."""
    return lambda true, at: true + size * at.spread * at.random.choice([-1.0, 1.0])


def stuck(true: Floats, at: Place) -> Floats:
    """The first value again and again, wherever there is a value."""
    return np.where(np.isnan(true), np.nan, true[np.flatnonzero(~np.isnan(true))[:1]])


def drift(rate: float, degrees: bool = False) -> Fault:
    """Away from the truth, `rate` spreads (or degrees) a day, in either direction."""

    def fault(true: Floats, at: Place) -> Floats:
        slope = rate * (1.0 if degrees else at.spread) / at.day
        return true + slope * at.random.choice([-1.0, 1.0]) * np.arange(1, len(true) + 1)

    return fault


def noise(size: float) -> Fault:
    """Noise of `size` spreads on every value."""
    return lambda true, at: true + at.random.normal(0, size * at.spread, len(true))


def fahrenheit(true: Floats, at: Place) -> Floats:
    """Degrees Fahrenheit where degrees Celsius are expected."""
    return 1.8 * true + 32


def swapped(true: Floats, at: Place) -> Floats:
    """What another series says."""
    others = np.delete(np.arange(at.network.values.shape[1]), at.spell.series)
    other = at.network.values[at.spell.begin : at.spell.end, at.random.choice(others)]
    return np.where(np.isnan(true), np.nan, other)


def late(true: Floats, at: Place) -> Floats:
    """What it said an hour ago, or a step ago where steps are longer."""
    lag = max(1, round(3600 / at.network.interval))
    series, begin, end = at.spell
    return at.network.values[begin - lag : end - lag, series].copy()


class Kind(NamedTuple):
    """A kind of fault. days: how long it lasts, 0: one step; at least `LEAST` steps where longer.
    only: for which sets; 'many': those of two series and more."""

    name: str
    fault: Fault
    days: float
    only: str = "all"


LEAST = 24
"""Steps that a fault lasts at least, unless it is a spike."""
KINDS = [
    *(Kind(f"spike, {size:g} spreads", spike(size), 0) for size in (1.0, 3.0, 10.0)),
    Kind("stuck for a day", stuck, 1),
    Kind("stuck for 3 days", stuck, 3),
    *(Kind(f"drift, {rate:g} spreads a day", drift(rate), 10) for rate in (0.1, 0.3, 1.0, 3.0)),
    *(
        Kind(f"drift, {rate:g} degC a day", drift(rate, True), 10, "celsius")
        for rate in (0.5, 2.0, 5.0, 10.0)
    ),
    Kind("noise, 1 spread, a day", noise(1.0), 1),
    Kind("noise, 3 spreads, a day", noise(3.0), 1),
    Kind("degF for degC, 3 days", fahrenheit, 3, "celsius"),
    Kind("swapped sensors, 3 days", swapped, 3, "many"),
    Kind("clock an hour late, 3 days", late, 3),
]


def series_of(network: Network, kind: Kind) -> NDArray[np.int64]:
    """The series that a kind of fault is planted into; none where the set is not for it."""
    columns = np.flatnonzero(np.isnan(network.circle))
    if kind.only == "many":
        return columns if len(columns) > 1 else columns[:0]
    if kind.only == "celsius":
        if network.name not in CELSIUS:
            return columns[:0]
        ends = _TEMPERATURES.get(network.name, ("",))
        return np.array([c for c in columns if network.names[c].endswith(ends)], int)
    return columns


def plant(network: Network, kind: Kind, draw: int) -> Planted | None:
    """A fault in an eighth of the series that a kind is for, each at a time of its own in the last
    two thirds of the record; None where there is no such series. Values that were missing stay so,
    and a spell without a changed value is none. The same draw, the same faults."""
    columns, steps = series_of(network, kind), len(network.values)
    if not len(columns):
        return None
    seed = zlib.crc32(f"{network.name}/{kind.name}/{draw}".encode())
    random, per_day = np.random.default_rng(seed), day(network)
    if network.interval >= 86_400:
        per_day = 1
    length = max(LEAST, round(kind.days * per_day)) if kind.days else 1
    length = min(length, steps // 4)
    found, spells = network.values.copy(), []
    for c in np.sort(random.permutation(columns)[: max(1, len(columns) // 8)]):
        begin = int(random.integers(steps // 3, steps - length + 1))
        spell = Spell(int(c), begin, begin + length)
        true = network.values[begin : begin + length, c]
        if np.isnan(true).all():
            continue
        at = Place(network, spell, float(network.spread[c]), per_day, random)
        found[begin : begin + length, c] = kind.fault(true, at)
        spells.append(spell)
    found[np.isnan(network.values)] = np.nan
    where = (found != network.values) & ~np.isnan(found)
    spells = [s for s in spells if where[s.begin : s.end, s.series].any()]
    return Planted(found, where, spells)
