"""The sets of the suite: which there are, in which half, and how one is read.

Defaults of models may be chosen on the tune half only; the held half says what they are worth.
The halves have each kind of network: weather, counts, power, air, water, health, simulations.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class About(NamedTuple):
    """half: tune or held. circles: endings of series that measure directions, and the length of
    their circle."""

    half: str
    circles: tuple[tuple[str, float], ...] = ()


SETS = {
    "nycw": About("tune"),
    "chicago": About("held"),
    "elec": About("tune"),
    "nox": About("held"),
    "clemson": About("tune"),
    "rain": About("held"),
    "sst": About("tune"),
    "cgm": About("held"),
    "waterflow": About("tune"),
    "meters": About("held"),
    "pipes": About("tune"),
    "floods": About("held"),
    "field": About("tune"),
    "dup": About("held"),
    "lab": About("tune"),
    "wind": About("tune", (("_wind_dir", 360.0),)),
    "flights": About("held"),
    "humid": About("tune"),
    "station": About("held", (("WindDir", 360.0),)),
    "precip": About("tune"),
    "sun": About("held"),
}
"""In a fixed order: the place of a set seeds its gaps. New ones come last."""


@dataclass(frozen=True)
class Network:
    """A set. values: (T, N) in raw units, NaN where truly missing. interval: of a step, in
    seconds. circle: (N,) length of the circle a series measures directions on, NaN: none. names:
    (N,) of the series, where they matter."""

    name: str
    values: Floats
    interval: float
    circle: Floats
    names: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        """What its gaps are drawn by."""
        known = list(SETS)
        return 100 + known.index(self.name) if self.name in SETS else zlib.crc32(self.name.encode())

    @cached_property
    def spread(self) -> Floats:
        """(N,) standard deviation of the whole record of each series; by the shortest arcs from
        the mean direction, where there is a circle. Errors are measured in these."""
        centre = np.nanmean(self.values, axis=0)
        for c in np.flatnonzero(~np.isnan(self.circle)):
            turn = 2 * np.pi / self.circle[c]
            centre[c] = np.angle(np.nanmean(np.exp(1j * self.values[:, c] * turn))) / turn
        found: Floats = np.sqrt(
            np.nanmean(shortest(self.values - centre, self.circle) ** 2, axis=0)
        )
        return found + 1e-12


def half_of(name: str) -> str:
    """Half of the suite that a set is in; held where it is not one of the suite."""
    return SETS[name].half if name in SETS else "held"


def shortest(difference: Floats, circle: Floats) -> Floats:
    """Differences (..., N), by the shortest arc where their series has a circle."""
    turned = (difference + circle / 2) % circle - circle / 2
    return np.where(np.isnan(circle), difference, turned)


def read(folder: Path, name: str) -> Network:
    """The set `name` of those that `make suite` wrote. Raises SystemExit where it is not there."""
    path = folder / f"{name}.npz"
    if not path.exists():
        raise SystemExit(f"{path} is not there: run 'make suite', or name its folder with --data")
    with np.load(path) as data:
        values, names = data["values"].astype(float), [str(n) for n in data["names"]]
        interval = float(data["interval_s"])
    circles = SETS[name].circles if name in SETS else ()
    circle = [next((c for end, c in circles if n.endswith(end)), np.nan) for n in names]
    return Network(name, values, interval, np.array(circle, float), tuple(names))


def there(folder: Path) -> list[str]:
    """Names of the sets in `folder`, those of the suite first, in its order."""
    found = {path.stem for path in folder.glob("*.npz")}
    return [n for n in SETS if n in found] + sorted(found - {*SETS})
