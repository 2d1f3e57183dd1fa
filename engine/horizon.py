"""Horizons: how many steps after the one at which a forecast is made lies the one it is for.

=========  =======  ==================================================================
kind       horizon  the row for a step is
=========  =======  ==================================================================
smoothed   below 0  made ``lag`` steps after it, by the engine, from the nowcast
nowcast    0        made at it, before the target's own value is known
forecast   above 0  made ``lead`` steps before it
=========  =======  ==================================================================

In configs, rows and arrays a horizon is a whole number of steps; what the number means is said
here and nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Self


class Kind(enum.StrEnum):
    """What a horizon makes of a forecast."""

    SMOOTHED = "smoothed"
    NOWCAST = "nowcast"
    FORECAST = "forecast"


class Horizon(int):
    """One horizon, in steps."""

    __slots__ = ()

    @property
    def kind(self) -> Kind:
        """What it makes of a forecast."""
        if self < 0:
            return Kind.SMOOTHED
        return Kind.FORECAST if self > 0 else Kind.NOWCAST

    @property
    def lag(self) -> int:
        """Steps by which a smoothed row comes after its step; 0 for the others."""
        return -self if self.kind is Kind.SMOOTHED else 0

    @property
    def lead(self) -> int:
        """Steps by which a forecast is made before its step; 0 for the others."""
        return int(self) if self.kind is Kind.FORECAST else 0

    @property
    def asked(self) -> Horizon:
        """The horizon that a forecaster is asked for so that the engine has what this one needs."""
        return NOWCAST if self.kind is Kind.SMOOTHED else self


NOWCAST = Horizon(0)


class Horizons(tuple[Horizon, ...]):
    """The horizons of a model: ascending, each once. Equal to a tuple of the same numbers."""

    __slots__ = ()

    def __new__(cls, steps: Iterable[int]) -> Self:
        """Of the numbers in `steps`, in any order."""
        return super().__new__(cls, sorted({Horizon(step) for step in steps}))

    @property
    def asked(self) -> Horizons:
        """Those that a forecaster is asked for so that the engine can make all of these."""
        return Horizons(horizon.asked for horizon in self)

    @property
    def lags(self) -> tuple[int, ...]:
        """Lags of the smoothed ones, ascending."""
        return tuple(sorted(h.lag for h in self if h.kind is Kind.SMOOTHED))

    @property
    def furthest(self) -> int:
        """The greatest lead."""
        return max((horizon.lead for horizon in self), default=0)

    def places(self, lag: int) -> slice:
        """Where those stand whose rows come `lag` steps after their step: side by side."""
        first = sum(horizon.lag > lag for horizon in self)
        return slice(first, first + sum(horizon.lag == lag for horizon in self))
