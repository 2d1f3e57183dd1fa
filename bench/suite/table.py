"""The table of a comparison, and the figures of merit below it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from suite.methods import NOWCAST, OFFLINE, PEERS, REFIT, SMOOTHED, STREAMING
from suite.sets import SETS

AGAINST = {STREAMING: NOWCAST, REFIT: NOWCAST, OFFLINE: SMOOTHED}
"""By kind of peer, the kind of task that it is compared in."""
NOT_WORSE = 1.02
"""A ratio up to this counts as not worse."""
Cells = Mapping[str, Mapping[str, Any]]
Row = dict[str, object]


def rmse(cells: Cells, network: str, pattern: str, kind: str, name: str) -> float | None:
    """The RMSE of a method in standard deviations, None where it has none."""
    scores = cells.get(f"{network}/{pattern}/{name}", {}).get("scores", {})
    return scores.get(kind, {}).get("rmse") if isinstance(scores, Mapping) else None


def best(cells: Cells, network: str, pattern: str, kind: str) -> tuple[float, str] | None:
    """The least RMSE of any peer of a kind, seen afterwards, and whose it is."""
    found = [
        (score, name)
        for name, peer in PEERS.items()
        if peer.kind == kind
        and (score := rmse(cells, network, pattern, AGAINST[kind], name)) is not None
    ]
    return min(found, default=None)


def rows(
    cells: Cells, places: Sequence[tuple[str, str]], kind: str, models: Sequence[str]
) -> list[Row]:
    """A row for each (set, pattern): RMSE of peers and models, each model's ratio to the best peer
    of every kind, coverage, CRPS and seconds of models."""
    peers = [n for n, p in PEERS.items() if AGAINST[p.kind] == kind]
    found = []
    for network, pattern in places:
        row: Row = {"set": network, "pattern": pattern}
        for name in (*peers, *models):
            score = rmse(cells, network, pattern, kind, name)
            row[_short(name)] = _empty(cells, network, pattern, name) if score is None else score
        for name in models:
            for against in (k for k, task in AGAINST.items() if task == kind):
                ratio = _ratio(cells, network, pattern, against, name)
                row[f"{_short(name)}/{against}"] = "" if ratio is None else ratio
            cell = cells.get(f"{network}/{pattern}/{name}", {})
            scores = cell.get("scores", {}).get(kind, {})
            for column in ("coverage", "crps"):
                value = scores.get(column)
                row[f"{column} {_short(name)}"] = "" if value is None else value
            row[f"s {_short(name)}"] = cell.get("seconds", "")
        found.append(row)
    return found


def merit(cells: Cells, places: Sequence[tuple[str, str]], models: Sequence[str]) -> list[Row]:
    """For each model, kind of peer, half and pattern: the geometric mean of its ratios to the best
    peer of the kind, the share of cells not worse by more than 2 %, and the worst cell."""
    found = []
    for name in models:
        for against in AGAINST:
            for half in ("tune", "held"):
                own = [p for p in places if _half(p[0]) == half]
                for pattern in dict.fromkeys(p for _, p in own):
                    of = [place for place in own if place[1] == pattern]
                    found += _merit(cells, of, against, name, half, pattern)
                found += _merit(cells, own, against, name, half, "all")
    return found


def _merit(
    cells: Cells,
    places: Sequence[tuple[str, str]],
    against: str,
    name: str,
    half: str,
    pattern: str,
) -> list[Row]:
    ratios = {place: _ratio(cells, *place, against, name) for place in places}
    known = {place: ratio for place, ratio in ratios.items() if ratio}
    if not known:
        return []
    worst = max(known, key=lambda place: known[place])
    logs = [math.log(ratio) for ratio in known.values()]
    return [
        {
            "model": _short(name),
            "peers": against,
            "half": half,
            "pattern": pattern,
            "cells": len(known),
            "ratio": math.exp(sum(logs) / len(logs)),
            "not worse": f"{sum(r <= NOT_WORSE for r in known.values()) / len(known):.0%}",
            "worst": known[worst],
            "where": " ".join(worst),
        }
    ]


def _ratio(cells: Cells, network: str, pattern: str, against: str, name: str) -> float | None:
    peer = best(cells, network, pattern, against)
    own = rmse(cells, network, pattern, AGAINST[against], name)
    return own / peer[0] if peer and own is not None and peer[0] > 0 else None


def _empty(cells: Cells, network: str, pattern: str, name: str) -> str:
    scores = cells.get(f"{network}/{pattern}/{name}", {}).get("scores", "")
    return scores if isinstance(scores, str) else "-"


def _half(network: str) -> str:
    return SETS[network].half if network in SETS else "held"


def _short(name: str) -> str:
    """Peers in brackets-free lower case, models without the project's name."""
    return name.removeprefix("gapcast ") if name.startswith("gapcast ") else f"[{name}]"
