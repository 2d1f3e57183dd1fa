"""From what a report says and draws to one HTML file, its data packed, its scripts inside."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.horizon import NOWCAST
from gapcast.engine.metrics import METRICS
from gapcast.engine.report.drawings import Drawing, Drawings
from gapcast.engine.report.scores import Entry, Run, Section
from gapcast.engine.shard.scoring import GAP_AGES
from gapcast.engine.sink import AHEAD, STATUSES

MOST_ROWS = 20_000
"""Sensors in the table of a quantity, at most: those with the greatest errors."""
INSIDE = {
    "style": ("uPlot.min.css", "base.css", "page.css"),
    "script": ("base.js", "page.js"),
    "uplot": ("uPlot.iife.min.js",),
}
"""What the page holds of the files beside it."""
Positions = Mapping[str, tuple[float, float]]


def page(
    runs: Sequence[Run], sections: Sequence[Section], drawings: Drawings, positions: Positions
) -> str:
    """The page. It loads nothing, and names the runs' folders without the way to them."""
    title = " · ".join(dict.fromkeys(str(run.config["name"]) for run in runs))
    names = _run_names(runs)
    data = {
        "runs": [_run(r, names[r], run, drawings) for r, run in enumerate(runs)],
        "statuses": STATUSES,
        "gapAges": list(GAP_AGES),
        "metrics": [
            {"name": m.name, "title": m.title, "about": m.about, "unit": m.unit} for m in METRICS
        ],
        "sections": [
            _section(s, section, runs, names, drawings, positions)
            for s, section in enumerate(sections)
        ],
    }
    parts = {name: "".join(map(_file, of)) for name, of in INSIDE.items()}
    parts["licence"] = _file("uPlot.LICENSE").strip()
    parts["title"] = escape(title)
    # Within a script element only "<" could end or change it.
    parts["data"] = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return re.sub(r"\{\{(\w+)\}\}", lambda hole: parts[hole[1]], _file("page.html"))


def _file(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _run_names(runs: Sequence[Run]) -> list[str]:
    """Short names that tell runs apart: their folders', numbered if these are the same."""
    names = [run.folder.resolve().name for run in runs]
    return [n if names.count(n) == 1 else f"{n} ({i})" for i, n in enumerate(names, 1)]


def _run(r: int, name: str, run: Run, drawings: Drawings) -> dict[str, Any]:
    manifest, statuses = run.manifest, drawings.statuses[r]
    shown = ("state", "began", "ended", "seconds", "counts", "forecasts", "versions", "machine")
    return {
        "label": name,
        "name": run.config["name"],
        **{key: manifest.get(key) for key in shown},
        "backend": run.config.get("backend", {}).get("type"),
        "interval": run.interval / 1e6,
        "scored": run.scored,
        "span": (run.grid.begins(np.array(run.span)) / 1e6).tolist(),
        "statuses": None
        if statuses is None
        else {s: n for s, n in zip(STATUSES, statuses.tolist(), strict=True) if s != AHEAD},
        "config": yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True),
    }


def _section(
    s: int, section: Section, runs: Sequence[Run], names: Sequence[str], drawings: Drawings,
    positions: Positions,
) -> dict[str, Any]:  # fmt: skip
    rows = _rows(section, drawings.chosen[s])
    n, squared = np.moveaxis(drawings.hours[s], -1, 0)
    place = np.array([positions.get(section.sensors[i], (np.nan, np.nan)) for i in rows])
    where = {int(n): i for i, n in enumerate(rows)}
    return {
        "quantity": section.quantity,
        "targets": len(section.sensors),
        "sensors": [section.sensors[i] for i in rows],
        "entries": [
            {
                "run": entry.run,
                "model": entry.model,
                "label": label(entry, section, names if len(runs) > 1 else None),
                "horizon": entry.horizon,
                "kind": entry.kind,
                "level": None if np.isnan(entry.level) else entry.level,
                **{name: values[e] for name, values in section.means.items()},
            }
            for e, entry in enumerate(section.entries)
        ],
        "best": section.best,
        "errors": {name: [pack(row) for row in v[:, rows]] for name, v in section.errors.items()},
        "gaps": {name: [_numbers(row) for row in v] for name, v in section.gaps.items()},
        "hours": [_numbers(row) for row in squared / np.where(n > 0, n, np.nan)],
        "positions": None if np.isnan(place).all() else [pack(axis) for axis in place.T],
        "drawn": [where[n] for n in drawings.chosen[s].tolist()],
        "drawings": [
            {"run": r, **_drawing(drawings.of[r, s], section, run.grid)}
            if (r, s) in drawings.of
            else None
            for r, run in enumerate(runs)
        ],
    }


def label(entry: Entry, section: Section, names: Sequence[str] | None = None) -> str:
    """A model's name, with its horizon and its run where that tells entries apart."""
    several = len({e.horizon for e in section.entries if e.model == entry.model}) > 1
    ahead = f" {entry.horizon:+d}" if several or entry.horizon != NOWCAST else ""
    return f"{entry.model}{ahead}" + (f" · {names[entry.run]}" if names else "")


def _rows(section: Section, chosen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Sensors that the table lists, in order: all, or those drawn and those of greatest error."""
    if len(section.sensors) <= MOST_ROWS:
        return np.arange(len(section.sensors))
    errors = np.nan_to_num(section.errors["mse"][section.best], nan=-1.0)
    worst = np.argsort(-errors, kind="stable")[: MOST_ROWS - len(chosen)]
    return np.union1d(worst, chosen)


def _drawing(of: Drawing, section: Section, grid: GridSpec) -> dict[str, Any]:
    """start, step: seconds. Of each target drawn its truth and statuses; of each entry of the run
    and each target its forecasts and bounds."""
    own = [e for e in range(len(section.entries)) if not np.isnan(of.forecast[e]).all()]
    return {
        "start": grid.begin(of.first) / 1e6,
        "step": grid.interval / 1e6,
        "truth": [pack(row) for row in of.truth],
        "status": ["".join(map(str, row)) for row in of.status.tolist()],
        "entries": {
            e: [
                [pack(f), *([] if np.isnan(a).all() else [pack(a), pack(b)])]
                for f, a, b in zip(of.forecast[e], of.lower[e], of.upper[e], strict=True)
            ]
            for e in own
        },
    }


def pack(values: np.ndarray[Any, Any]) -> str:
    """Numbers as base64 of little-endian float32: seven digits in five and a third bytes."""
    with np.errstate(over="ignore"):
        packed = np.ascontiguousarray(values, "<f4")
    return base64.b64encode(packed.tobytes()).decode()


def _numbers(values: np.ndarray[Any, Any]) -> list[float | None]:
    return [v if np.isfinite(v) else None for v in values.tolist()]
