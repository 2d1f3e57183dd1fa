"""What is compared: models of the project and peers, each with the tasks that it can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from suite import ours
from suite.peers import ahead, naive, packages, recursion, refit
from suite.scores import Filled
from suite.sets import Floats

STREAMING, REFIT, OFFLINE = "streaming", "refit", "offline"
NOWCAST, SMOOTHED = "nowcast", "smoothed"
STEP, PERIOD = "a step ahead", "a day ahead"
GAPS, AHEAD = (NOWCAST, SMOOTHED), (STEP, PERIOD)
FEW, SOME = 3, 20


@dataclass(frozen=True)
class Peer:
    """kind: streaming (a step at a time), refit (the past as a whole) or offline (both ends of a
    gap). fill: values (T, N) and the interval in seconds to estimates (T, N). ahead: see
    `suite.peers.ahead`; None: does not forecast. most: series that it is asked to bear."""

    kind: str
    fill: Callable[[Floats, float], Floats]
    ahead: Callable[[Floats, int, int], Floats] | None = None
    most: int = 1000

    def play(self, values: Floats, interval: float, gap: int) -> dict[str, Filled]:
        """Its estimates of the one task in gaps that it does."""
        return {SMOOTHED if self.kind == OFFLINE else NOWCAST: _bare(self.fill(values, interval))}

    def forecast(self, values: Floats, interval: float) -> dict[str, Filled]:
        """Its forecasts a step and a day ahead, where it makes any."""
        if self.ahead is None:
            return {}
        period = naive.period(interval)
        horizons = {STEP: 1, PERIOD: period}
        return {task: _bare(self.ahead(values, h, period)) for task, h in horizons.items()}


@dataclass(frozen=True)
class Ours:
    """A model's section of a config."""

    section: Mapping[str, Any]
    screening: bool = False

    def play(self, values: Floats, interval: float, gap: int) -> dict[str, Filled]:
        """Nowcasts, and what is said of each step as many steps later as the longest gap has."""
        found = ours.play(self.section, values, interval, [-gap, 0], self.screening)
        return {NOWCAST: found[0], SMOOTHED: found[-gap]}

    def forecast(self, values: Floats, interval: float) -> dict[str, Filled]:
        """Its forecasts a step and a day ahead, where it serves such horizons."""
        horizons = {STEP: 1, PERIOD: naive.period(interval)}
        served = {t: h for t, h in horizons.items() if h <= ours.furthest(self.section)}
        if not served:
            return {}
        found = ours.play(self.section, values, interval, [*served.values()], self.screening)
        return {task: found[h] for task, h in served.items()}


PEERS = {
    "locf": Peer(STREAMING, naive.hold, ahead.hold),
    "seasonal": Peer(STREAMING, naive.seasonal, ahead.seasonal),
    "rls": Peer(STREAMING, recursion.rls, ahead.rls),
    "river": Peer(STREAMING, packages.river, most=SOME),
    "padasip": Peer(STREAMING, packages.padasip, most=SOME),
    "ridge": Peer(REFIT, refit.ridge, ahead.ridge),
    "arima": Peer(REFIT, packages.arima, most=FEW),
    "line": Peer(OFFLINE, naive.line),
    "spline": Peer(OFFLINE, naive.spline),
    "iterative": Peer(OFFLINE, packages.iterative),
    "kalman": Peer(OFFLINE, packages.kalman, most=FEW),
}


def model(text: str, screening: bool = False) -> tuple[str, Ours]:
    """``NAME`` or ``NAME=SECTION`` as JSON, a section of a config; the name alone is its type.

    In the file of results models are ``gapcast NAME``, so that they are not taken for peers.
    """
    name, equals, section = text.partition("=")
    try:
        found = json.loads(section) if equals else {"type": name}
    except json.JSONDecodeError as error:
        raise SystemExit(f"--models {name}: not JSON: {error}") from None
    return f"gapcast {name}", Ours(found, screening)


def _bare(mean: Floats) -> Filled:
    """Without bounds."""
    none = np.full_like(mean, np.nan)
    return Filled(mean, none, none)
