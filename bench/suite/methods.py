"""What is compared: models of the project and peers, each with the kinds of task it can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from suite import ours
from suite.peers import naive, recursion, refit
from suite.scores import Filled
from suite.sets import Floats

STREAMING, REFIT, OFFLINE = "streaming", "refit", "offline"
NOWCAST, SMOOTHED = "nowcast", "smoothed"


@dataclass(frozen=True)
class Peer:
    """kind: streaming (a step at a time), refit (the past as a whole), offline (both ends of a gap).
    fill: values (T, N) and the interval in seconds to estimates (T, N)."""

    kind: str
    fill: Callable[[Floats, float], Floats]

    def play(self, values: Floats, interval: float, gap: int) -> dict[str, Filled]:
        """Its estimates of the one kind of task that it does."""
        mean = self.fill(values, interval)
        none = np.full_like(mean, np.nan)
        return {SMOOTHED if self.kind == OFFLINE else NOWCAST: Filled(mean, none, none)}


@dataclass(frozen=True)
class Ours:
    """A model's section of a config."""

    section: Mapping[str, Any]
    screening: bool = False

    def play(self, values: Floats, interval: float, gap: int) -> dict[str, Filled]:
        """Nowcasts, and what is said of each step as many steps later as the longest gap has."""
        horizons = [-gap, 0]
        found = ours.play(self.section, values, interval, horizons, self.screening)
        return {NOWCAST: found[0], SMOOTHED: found[-gap]}


PEERS = {
    "locf": Peer(STREAMING, lambda values, interval: naive.last(values)),
    "seasonal": Peer(STREAMING, naive.seasonal),
    "rls": Peer(STREAMING, lambda values, interval: recursion.rls(values)),
    "ridge": Peer(REFIT, lambda values, interval: refit.ridge(values)),
    "line": Peer(OFFLINE, lambda values, interval: naive.line(values)),
    "spline": Peer(OFFLINE, lambda values, interval: naive.spline(values)),
}


def model(text: str, screening: bool = False) -> tuple[str, Ours]:
    """``NAME`` or ``NAME=SECTION`` as JSON, a section of a config; the name alone is its type.

    Models stand in tables as ``gapcast NAME``, so that they are not taken for peers.
    """
    name, equals, section = text.partition("=")
    try:
        found = json.loads(section) if equals else {"type": name}
    except json.JSONDecodeError as error:
        raise SystemExit(f"--models {name}: not JSON: {error}") from None
    return f"gapcast {name}", Ours(found, screening)
