"""Who there is: the series of a job, and where the sensors stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Series


def natural(name: str) -> str:
    """Sort key under which ``mote2`` comes before ``mote10``."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(20), name) + "\0" + name


@dataclass(frozen=True)
class Network:
    """All series of a job, in natural order those that it began with, behind them those that have
    joined since; and the sensors' positions in metres where known.

    inputs: those that are read as inputs, which are neither targets nor anyone's neighbours; how
    many steps before its time each is known. leads: inputs whose values so many steps later frames
    have in further columns, behind those of the series. joining: of which quantities
    further series may join; then there are no inputs.
    """

    series: tuple[Series, ...]
    positions: Mapping[str, tuple[float, float]]
    inputs: Mapping[Series, int] = field(default_factory=dict)
    leads: tuple[tuple[Series, int], ...] = ()
    joining: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        series: Iterable[Series],
        positions: Mapping[str, tuple[float, float]] | None = None,
        inputs: Mapping[Series, int] | None = None,
        leads: Iterable[int] = (),
    ) -> Network:
        """The network of these series and inputs, each once, in natural order; with what is known
        so many steps ahead (`leads`)."""
        given = dict(sorted((inputs or {}).items()))
        known = tuple((s, h) for s, ahead in given.items() for h in sorted(leads) if h <= ahead)
        distinct = {*given, *series}
        place = {name: natural(name) for name in {s.sensor for s in distinct}}
        ordered = sorted(distinct, key=lambda s: (place[s.sensor], s.quantity))
        return cls(tuple(ordered), positions or {}, given, known)

    def grown(self, series: Iterable[Series]) -> Network:
        """The network with further series behind its own."""
        return replace(self, series=(*self.series, *series))

    @cached_property
    def column(self) -> dict[Series, int]:
        """Column of each series in the frames."""
        return {s: i for i, s in enumerate(self.series)}

    @property
    def columns(self) -> tuple[Series, ...]:
        """What the columns of frames hold: the series, and what is known ahead of inputs."""
        ahead = (Series(s.sensor, f"{s.quantity}, {h} steps ahead") for s, h in self.leads)
        return (*self.series, *ahead)

    def sensors(self, quantity: str) -> list[str]:
        """Sensors that report `quantity`, in order, but for inputs."""
        return [s.sensor for s in self.series if s.quantity == quantity and s not in self.inputs]


def read_positions(path: Path) -> dict[str, tuple[float, float]]:
    """Positions from a text of lines ``sensor x y`` (metres); ``#`` starts a comment."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: positions cannot be read: {error}") from None
    positions = {}
    for number, line in enumerate(lines, 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        try:
            sensor, x, y = fields
            positions[sensor] = (float(x), float(y))
        except ValueError:
            raise RunError(
                f"{path}:{number}: expected 'sensor x y' with x and y in metres, found {line!r}"
            ) from None
    return positions
