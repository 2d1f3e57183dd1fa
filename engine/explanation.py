"""What a forecaster says of one forecast: what it was made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What one expert said of the step.

    name: as in ``Forecaster.experts``. of: which one of that name, in a few words; may be empty.
    value: what it said. weight: its share of the forecast, from 0 to 1. error: root of its mean
    square error as it counts for the weight, NaN where that is not known. back: what it said in
    units of the target, where it spoke of another quantity, that the target is derived from.
    """

    name: str
    of: str
    value: float
    weight: float
    error: float = math.nan
    back: float | None = None


@dataclass(frozen=True)
class Read:
    """One series that was read.

    column: in the frame's `Layout.series`. value: at the step, NaN where it is missing. usual: what
    it is on average. part: what its distance from there adds to the forecast, 0 where missing.
    """

    column: int
    value: float
    usual: float
    part: float


@dataclass(frozen=True)
class Regression:
    """What an expert made of other series.

    expert, of: as in `Said`. usual: of the target. reads: those that say most, first, then missing
    ones that matter; rest: the parts of all others together, `others` in number. carried: what it
    added: what is left of its last residual, and of what stands in for the missing ones.
    """

    expert: str
    of: str
    usual: float
    reads: Sequence[Read]
    rest: float = 0.0
    others: int = 0
    carried: float = 0.0

    @property
    def said(self) -> float:
        """What other series say: what is usual and all parts; `carried` comes on top."""
        return self.usual + math.fsum(read.part for read in self.reads) + self.rest


@dataclass(frozen=True)
class Explanation:
    """What a forecast of one target for one step was made of, in units of the readings.

    mixture: the experts' values by their weights, which add up to 1. mean: the forecast, which is
    the mixture unless `notes` say what became of it. regression: of the expert of other series with
    the greatest weight, if there is one. notes: whole sentences. derived: what the numbers are of,
    where that is not the target's quantity; `mean` is then in its units.
    """

    experts: Sequence[Said]
    mean: float
    regression: Regression | None = None
    notes: tuple[str, ...] = ()
    derived: str | None = None

    @property
    def mixture(self) -> float:
        """The experts' values by their weights."""
        return math.fsum(said.weight * said.value for said in self.experts if said.weight > 0)
