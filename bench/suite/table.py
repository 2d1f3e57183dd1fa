"""The tables of a comparison, and the figures of merit below them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from suite.methods import AHEAD, NOWCAST, OFFLINE, PEERS, REFIT, SMOOTHED, STREAMING
from suite.sets import SETS

TASKS = {
    STREAMING: (NOWCAST, *AHEAD),
    REFIT: (NOWCAST, *AHEAD),
    OFFLINE: (SMOOTHED,),
}
"""By kind of peer, the tasks that it is compared in."""
NOT_WORSE = 1.02
"""A ratio up to this counts as not worse."""
Cells = Mapping[str, Mapping[str, Any]]
Row = dict[str, object]
Place = tuple[str, str]
"""A set and a pattern."""


def scores(cells: Cells, place: Place, task: str, name: str) -> Mapping[str, Any]:
    """The scores of a method in a task; empty where it has none."""
    found = cells.get("/".join((*place, name)), {}).get("scores", {})
    return found.get(task, {}) if isinstance(found, Mapping) else {}


def best(cells: Cells, place: Place, task: str, kind: str) -> float | None:
    """The least RMSE of the peers of a kind, seen afterwards."""
    found = (scores(cells, place, task, n).get("rmse") for n, p in PEERS.items() if p.kind == kind)
    return min((score for score in found if score is not None), default=None)


def ratio(cells: Cells, place: Place, task: str, kind: str, name: str) -> float | None:
    """A model's RMSE over that of the best peer of a kind; None where either is not there."""
    peer, own = best(cells, place, task, kind), scores(cells, place, task, name).get("rmse")
    return own / peer if peer and own is not None else None


def errors(cells: Cells, places: Sequence[Place], task: str, models: Sequence[str]) -> list[Row]:
    """A row for each set and pattern: the RMSE of peers, in brackets, and of models; each model's
    ratio to the best peer of every kind."""
    kinds = [kind for kind, tasks in TASKS.items() if task in tasks]
    peers = [n for n, p in PEERS.items() if p.kind in kinds and (p.ahead or task not in AHEAD)]
    found = []
    for place in places:
        row: Row = {"set": place[0], "pattern": place[1]}
        for name in peers:
            row[f"[{name}]"] = _rmse(cells, place, task, name)
        for name in models:
            row[_short(name)] = _rmse(cells, place, task, name)
            for kind in kinds:
                value = ratio(cells, place, task, kind, name)
                row[f"{_short(name)}/{kind}"] = "" if value is None else value
        found.append(row)
    return found


def intervals(cells: Cells, places: Sequence[Place], task: str, models: Sequence[str]) -> list[Row]:
    """A row for each set and pattern: coverage and CRPS of each model, processor time, and the
    cells that it did not answer."""
    found = []
    for place in places:
        row: Row = {"set": place[0], "pattern": place[1]}
        for name in models:
            of = scores(cells, place, task, name)
            for column in ("coverage", "crps", "unsaid"):
                row[f"{_short(name)} {column}"] = "" if of.get(column) is None else of[column]
            row[f"{_short(name)} s"] = cells.get("/".join((*place, name)), {}).get("seconds", "")
        found.append(row)
    return found


def merit(cells: Cells, places: Sequence[Place], models: Sequence[str]) -> list[Row]:
    """For each model, kind of peer and half: the geometric mean of its ratios to the best peer of
    the kind, by pattern and of all gaps, the share of gaps not worse by 2 %, and the worst; then
    the same of forecasts ahead, which `gaps` leaves out."""
    patterns = [p for p in dict.fromkeys(p for _, p in places) if p != "ahead"]
    found = []
    for name in models:
        for kind, tasks in TASKS.items():
            for half in ("tune", "held"):
                own = [p for p in places if half_of(p[0]) == half]
                gaps = _ratios(cells, [p for p in own if p[1] != "ahead"], tasks[0], kind, name)
                if not own:
                    continue
                row: Row = {"model": _short(name), "peers": kind, "half": half}
                for pattern in patterns:
                    row[pattern] = _mean([r for p, r in gaps.items() if p[1] == pattern])
                row |= {"gaps": _mean([*gaps.values()]), "cells": len(gaps)} | _extremes(gaps)
                for task in AHEAD:
                    late = _ratios(cells, own, task, kind, name) if task in tasks else {}
                    row[task] = _mean([*late.values()])
                found.append(row)
    return found


def half_of(network: str) -> str:
    """Half of the suite that a set is in; held where it is not one of the suite."""
    return SETS[network].half if network in SETS else "held"


def _ratios(
    cells: Cells, places: Sequence[Place], task: str, kind: str, name: str
) -> dict[Place, float]:
    found = {place: ratio(cells, place, task, kind, name) for place in places}
    return {place: value for place, value in found.items() if value}


def _extremes(ratios: Mapping[Place, float]) -> Row:
    if not ratios:
        return {"not worse": "", "worst": "", "where": ""}
    worst = max(ratios, key=lambda place: ratios[place])
    share = sum(r <= NOT_WORSE for r in ratios.values()) / len(ratios)
    return {"not worse": f"{share:.0%}", "worst": ratios[worst], "where": " ".join(worst)}


def _mean(ratios: Sequence[float]) -> object:
    """Geometric; empty of nothing."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else ""


def notes(cells: Cells, places: Sequence[Place]) -> list[str]:
    """Why peers were not run, or failed, and where."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for place in places:
        for name in PEERS:
            words = cells.get("/".join((*place, name)), {}).get("scores")
            if isinstance(words, str):
                found.setdefault((name, words), {})[" ".join(place)] = None
    return [f"[{name}] {words} ({', '.join(where)})" for (name, words), where in found.items()]


def _rmse(cells: Cells, place: Place, task: str, name: str) -> object:
    """The RMSE; a dash where there is none."""
    return scores(cells, place, task, name).get("rmse", "-")


def _short(name: str) -> str:
    """A model as it was named on the command line."""
    return name.removeprefix("gapcast ")
