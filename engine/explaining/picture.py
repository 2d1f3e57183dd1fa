"""What is known of a forecast as a picture: the days before it, its experts, its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gapcast.engine.errors import RunError
from gapcast.engine.explaining.explain import Explained
from gapcast.engine.explaining.replay import Played
from gapcast.engine.explaining.stored import step_of
from gapcast.engine.explaining.words import LEAST
from gapcast.engine.extras import extra
from gapcast.engine.forecaster import Floats

FORMATS = (".png", ".svg")
NAMED = 0.05
"""Experts with less weight have no entry in the legend."""
SHADES = {"withheld": "0.5", "missing": "tab:orange", "rejected": "tab:red"}


def draw(of: Explained, out: Path) -> None:
    """Draw a forecast into `out`, a ``.png`` or ``.svg``.

    Raises RunError when the name ends otherwise, when the run could not be played again, when
    matplotlib is not installed, or the file cannot be written.
    """
    if out.suffix not in FORMATS:
        raise RunError(f"{out}: expected a name that ends in .png or .svg")
    if of.played is None:
        raise RunError(f"there is nothing to draw: the run cannot be played again ({of.trouble})")
    with extra("plot"):
        import matplotlib
    with matplotlib.rc_context({"svg.hashsalt": "gapcast", "svg.fonttype": "none"}):
        figure = _figure(of, of.played)
        more = {"metadata": {"Date": None}} if out.suffix == ".svg" else {"dpi": 150}
        try:
            figure.savefig(out, **more)
        except OSError as error:
            raise RunError(f"{out} cannot be written: {error.strerror}") from None


def _figure(of: Explained, played: Played) -> Any:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.add_subplot()
    last = of.asked.told if played.last is None else played.last
    times = _times(of, np.arange(last - len(played.values) + 1, last + 1))
    _neighbours(axes, of, played, times)
    _target(axes, of, played)
    _experts(axes, of)
    series = of.asked.series
    axes.set_title(f"Sensor {series.sensor}, {series.quantity}: what model {of.model} said")
    axes.set_ylabel(f"{series.quantity}, in units of the readings")
    axes.set_xlabel("time, UTC")
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0.03)
    axes.grid(alpha=0.25)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1), markerscale=0.6)
    return figure


def _times(of: Explained, steps: Any) -> Any:
    return of.grid.begins(np.asarray(steps, np.int64)).astype("datetime64[us]")


def _neighbours(axes: Any, of: Explained, played: Played, times: Any) -> None:
    """The series that say most, as they were reported."""
    regression = of.explanation.regression if of.explanation else None
    for c, read in enumerate(regression.reads if regression else ()):
        series = played.layout.series[read.column]
        axes.plot(
            times, played.values[:, read.column], color=f"C{4 + c % 5}", linewidth=0.8, alpha=0.6,
            label=f"neighbour {series.sensor}",
        )  # fmt: skip


def _target(axes: Any, of: Explained, played: Played) -> None:
    """Truth and forecasts of the last steps, shaded where the truth is not the model's to see."""
    rows = played.rows.to_pydict()
    steps = np.array([step_of({"time": time}, of.grid) for time in rows["time"]], np.int64)
    times, half = _times(of, steps), np.timedelta64(of.grid.interval // 2, "us")
    for status, colour in SHADES.items():
        found = [s == status for s in rows["status"]]
        for i, time in enumerate(times[found]):
            axes.axvspan(
                time - half, time + half, color=colour, alpha=0.15, linewidth=0,
                label="_" if i else status,
            )  # fmt: skip
    truth, forecast = (_floats(rows[name]) for name in ("truth", "forecast"))
    axes.plot(times, forecast, color="tab:blue", linewidth=1, alpha=0.6, label="forecasts")
    axes.plot(times, truth, color="black", linewidth=1.5, label="truth")


def _experts(axes: Any, of: Explained) -> None:
    """What each expert says of the step, as large as its weight, and the interval around all."""
    at, row = _times(of, [of.asked.step])[0], of.row
    if row is not None:
        if row["lower"] is not None:
            axes.plot(
                [at, at], [row["lower"], row["upper"]], color="tab:blue", linewidth=6, alpha=0.3,
                solid_capstyle="butt", label=f"{of.level:.0%} interval",
            )  # fmt: skip
        axes.plot(at, row["forecast"], "D", color="tab:blue", markersize=7, label="forecast")
    said = of.explanation.experts if of.explanation else ()
    for e, expert in enumerate(sorted(said, key=lambda one: -one.weight)):
        if expert.weight < LEAST:
            continue
        name = f"{expert.name} {expert.of}".strip()
        axes.scatter(
            at, expert.value if expert.back is None else expert.back,
            s=20 + 300 * expert.weight, facecolors="none", edgecolors=f"C{(e + 1) % 10}",
            linewidths=1.5, zorder=3,
            label=f"{name}, {expert.weight:.0%}" if expert.weight >= NAMED else "_",
        )  # fmt: skip


def _floats(column: list[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in column], float)
