"""The tables of a comparison, and the figures of merit below them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from suite.methods import AHEAD, NOWCAST, OFFLINE, PEERS, REFIT, SMOOTHED, STREAMING
from suite.patterns import FORECASTS
from suite.sets import half_of

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
    the kind, by pattern and of all gaps; the share of gaps not worse by 2 %, the worst; means of
    coverage and CRPS in gaps; the ratios of forecasts ahead, which `gaps` leaves out."""
    found = []
    for name in models:
        for kind, tasks in TASKS.items():
            for half in ("tune", "held"):
                own = [place for place in places if half_of(place[0]) == half]
                if own:
                    row: Row = {"model": _short(name), "peers": kind, "half": half}
                    found.append(row | _merit(cells, own, tasks, kind, name))
    return found


def _merit(
    cells: Cells, places: Sequence[Place], tasks: Sequence[str], kind: str, name: str
) -> Row:
    withheld = [place for place in places if place[1] != FORECASTS]
    gaps = _ratios(cells, withheld, tasks[0], kind, name)
    row: Row = {
        pattern: _mean([ratio for place, ratio in gaps.items() if place[1] == pattern])
        for pattern in dict.fromkeys(pattern for _, pattern in withheld)
    }
    row |= {"gaps": _mean([*gaps.values()]), "cells": len(gaps)} | _extremes(gaps)
    for column in ("coverage", "crps"):
        told = [scores(cells, place, tasks[0], name).get(column) for place in withheld]
        known = [value for value in told if value is not None]
        row[column] = sum(known) / len(known) if known else ""
    for task in AHEAD:
        late = _ratios(cells, places, task, kind, name) if task in tasks else {}
        row[task] = _mean([*late.values()])
    return row


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
