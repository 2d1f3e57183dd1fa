"""One sensor as a picture: truth, forecasts, interval, withheld spans, the error in the title."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gapcast.engine.errors import RunError
from gapcast.engine.extras import extra
from gapcast.engine.forecaster import Ints
from gapcast.engine.report.drawings import Drawing, draw, forecasts_of
from gapcast.engine.report.page import label
from gapcast.engine.report.scores import Run, Section, open_run, sections
from gapcast.engine.sink import STATUSES
from gapcast.engine.spelling import meant

FORMATS = ("png", "svg")
SHADES = {"withheld": "0.5", "missing": "tab:orange"}


def plot(
    folder: Path,
    sensor: str,
    out: Path,
    quantity: str | None = None,
    models: Sequence[str] = (),
) -> None:
    """Draw one target of the run in `folder` into `out`, a ``.png`` or ``.svg``.

    quantity: may be left out where there is one. models: all by default; the band is that of the
    one whose mean squared error at this sensor is least. Raises RunError when there is no such
    target or model, or no forecasts in files, or matplotlib is not installed.
    """
    if out.suffix.removeprefix(".") not in FORMATS:
        raise RunError(f"{out}: expected a name that ends in .png or .svg")
    run = open_run(folder)
    if forecasts_of(run) is None:
        raise RunError(f"{folder} holds no forecasts in files, so there is nothing to draw")
    section = _section(sections([run]), sensor, quantity)
    n = section.sensors.index(sensor)
    entries = _entries(section, models)
    drawing = draw([run], [section], [np.array([n])]).of[0, 0]
    with extra("plot"):
        import matplotlib
    with matplotlib.rc_context({"svg.hashsalt": "gapcast", "svg.fonttype": "none"}):
        figure = _figure(run, section, n, entries, drawing)
        # Without a date the same run gives the same bytes.
        more = {"metadata": {"Date": None}} if out.suffix == ".svg" else {"dpi": 150}
        try:
            figure.savefig(out, **more)
        except OSError as error:
            raise RunError(f"{out} cannot be written: {error.strerror}") from None


def _section(found: Sequence[Section], sensor: str, quantity: str | None) -> Section:
    names = [section.quantity for section in found]
    if quantity is None and len(names) != 1:
        raise RunError(f"the run has the quantities {', '.join(names) or 'none'}: name one")
    if quantity is not None and quantity not in names:
        raise RunError(
            f"no quantity {quantity!r}{meant(quantity, names)} (there: {', '.join(names)})"
        )
    section = found[0 if quantity is None else names.index(quantity)]
    if sensor not in section.sensors:
        there = section.sensors
        raise RunError(
            f"no sensor {sensor!r} has scores of {section.quantity}{meant(sensor, there)}; there "
            f"are {len(there)}, from {there[0]} to {there[-1]}"
        )
    return section


def _entries(section: Section, models: Sequence[str]) -> list[int]:
    known = list(dict.fromkeys(entry.model for entry in section.entries))
    for model in models:
        if model not in known:
            raise RunError(f"no model {model!r}{meant(model, known)} (there: {', '.join(known)})")
    return [e for e, entry in enumerate(section.entries) if not models or entry.model in models]


def _figure(run: Run, section: Section, n: int, entries: Sequence[int], of: Drawing) -> Any:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.add_subplot()
    _curves(axes, run, section, n, entries, of)
    axes.set_ylabel(section.quantity)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0)
    axes.grid(alpha=0.25)
    axes.legend(title="MSE in brackets", fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _curves(
    axes: Any, run: Run, section: Section, n: int, entries: Sequence[int], of: Drawing
) -> None:
    steps = of.first + np.arange(of.truth.shape[1])
    times = run.grid.begins(steps).astype("datetime64[us]")
    mse = section.errors["mse"][:, n]
    best = min(entries, key=lambda e: (np.isnan(mse[e]), mse[e]))
    names = [label(entry, section) for entry in section.entries]
    for status, colour in SHADES.items():
        for a, b in _spans(of.status[0] == STATUSES.index(status)):
            edges = [t - np.timedelta64(run.interval // 2, "us") for t in (times[a], times[b - 1])]
            edges[1] += np.timedelta64(run.interval, "us")
            axes.axvspan(*edges, color=colour, alpha=0.15, linewidth=0)
    for e in entries:
        line = axes.plot(
            times, of.forecast[e, 0], label=f"{names[e]} ({mse[e]:.4g})",
            color=f"C{e}", linewidth=2 if e == best else 1,
        )  # fmt: skip
        if e == best:
            axes.fill_between(
                times,
                of.lower[e, 0],
                of.upper[e, 0],
                color=line[0].get_color(),
                alpha=0.2,
                linewidth=0,
            )
    rejected = of.status[0] == STATUSES.index("rejected")
    axes.plot(
        times, np.where(rejected, np.nan, of.truth[0]), color="black", linewidth=1.5, label="truth"
    )
    if rejected.any():
        axes.plot(times[rejected], of.truth[0][rejected], "x", color="black", label="rejected")
    axes.set_title(
        f"Sensor {section.sensors[n]}, {section.quantity}: MSE {mse[best]:.4f} ({names[best]})"
    )


def _spans(where: np.ndarray[Any, Any]) -> Ints:
    """Bounds [start, stop) of the runs of True, as rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]])))
    return edges.reshape(-1, 2)
