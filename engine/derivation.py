"""The contract of a derivation: a quantity made of another and a companion, there and back.

A sensor's temperature hangs on its place; its dew point hardly does, since air that mixes has the
same water everywhere. A series that neighbours share more of is a better one to forecast.
`gapcast.engine.shard.derived` forecasts the derived quantity and turns it back into the first with
the companion's value of the step.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from gapcast.engine.forecaster import Floats
from gapcast.engine.plugin import Plugin

Range = tuple[float, float]


class Derivation(Plugin):
    """A quantity derived of a value and its companion: two readings of one sensor and step.

    Both functions are given C-ordered float64 arrays of one shape, which they leave alone, and
    return another. They work on each element by itself: what stands beside it, or where it
    stands, never changes a bit (which vectorised transcendental functions may not promise). NaN
    on either side gives NaN. Called from several threads at once.

    Whether `forward` gives a number depends on the companion alone: the value may be one that is
    withheld from a model, and what is withheld must not show.
    """

    quantities: ClassVar[tuple[str, str]]
    """Quantities of the value, which is what is forecast, and of its companion, unless the config
    says others."""

    domain: ClassVar[tuple[Range, Range]]
    """Least and greatest value and companion within which `inverse` undoes `forward`."""

    @abstractmethod
    def forward(self, value: Floats, companion: Floats) -> Floats:
        """The derived quantity. Never falls as the value grows. NaN for impossible companions."""

    @abstractmethod
    def inverse(self, derived: Floats, companion: Floats) -> Floats:
        """The value that has this derived quantity, given its companion. Never falls as the
        derived quantity grows. NaN where there is no such value, or none to be trusted."""
