"""What is known of a forecast, in a few lines and tables of plain text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from gapcast.engine.explaining.explain import Explained
from gapcast.engine.explaining.stored import row_at
from gapcast.engine.explanation import Explanation, Regression, Said
from gapcast.engine.forecaster import Ints, Layout
from gapcast.engine.horizon import Kind
from gapcast.engine.units import MICROSECONDS

LEAST = 0.01
"""Experts with less weight are told in one line together."""
NAMED = 8
"""So many missing series are named."""
_COMPARED = ("forecast", "lower", "upper", "truth")


def words(of: Explained) -> list[str]:
    """The lines that ``gapcast explain`` prints."""
    digits = _digits(of)
    lines = [_title(of), "", *_columns(_facts(of, digits))]
    if of.trouble:
        lines.append(f"The run cannot be played again: {of.trouble}. This is what its row says.")
    elif of.row is None:
        lines.append(f"The run has no such row: {_no_row(of)}.")
    if of.row and of.stored and any(of.row[c] != of.stored[c] for c in _COMPARED):
        there, here = (_number(row["forecast"], digits) for row in (of.stored, of.row))
        lines.append(f"The files of the run say {there}: it saw other readings than now ({here}).")
    if of.explanation is not None:
        lines += _explanation(of, of.explanation, digits)
    elif of.row is not None and of.played is not None:
        lines.append(f"Model {of.model} does not say what this forecast was made of.")
    return lines


def _no_row(of: Explained) -> str:
    if of.asked.horizon.kind is Kind.SMOOTHED:
        return "a step with a value has none, nor have the last of a run"
    return "the model could not tell yet, or nothing had arrived for long"


def _title(of: Explained) -> str:
    series, horizon = of.asked.series, of.asked.horizon
    title = f"{series.quantity} of sensor {series.sensor}, {_time(of, of.asked.step)} UTC: "
    if horizon.kind is Kind.SMOOTHED:
        return f"{title}by model {of.model}, smoothed {_ago(of, horizon.lag)} later"
    if horizon.kind is Kind.FORECAST:
        return f"{title}by model {of.model}, made {_ago(of, horizon.lead)} before"
    return f"{title}nowcast of model {of.model}"


def _facts(of: Explained, digits: int) -> Iterator[tuple[str, str]]:
    row = of.row
    if row is not None:
        said = _number(row["forecast"], digits)
        if row["lower"] is not None:
            low, high = (_number(row[side], digits) for side in ("lower", "upper"))
            said += f", {of.level:.0%} of such within {low} to {high}"
        yield "forecast", said
        if row["truth"] is not None:
            error = _adds(row["forecast"] - row["truth"], digits)
            truth = f"{_number(row['truth'], digits)} ({row['status']}), error {error}"
        yield "truth", row["status"] if row["truth"] is None else truth
    yield from _last_seen(of, digits)
    if of.played is not None and of.played.seen is not None:
        columns = read_by(of.played.layout, of.played.target)
        missing = columns[np.isnan(of.played.seen[columns])]
        if len(columns) and of.asked.horizon <= 0:
            yield "others", _missing(of.played.layout, columns, missing)
    if row is not None and row["regressors"] is not None:
        yield "made from", f"{row['regressors']} values of other series"
    if row is not None and row["experts"] is not None and of.explanation is None:
        yield "experts", row["experts"]


def _last_seen(of: Explained, digits: int) -> Iterator[tuple[str, str]]:
    """The target's last value that its model could see."""
    made = of.asked.made
    row = of.row if made == of.asked.step else of.played and row_at(of.played.rows, of.grid, made)
    if not row:
        return
    step = made - row["gap_age"]
    if made != of.asked.step and row["status"] == "observed":
        step = made
    when = f"{_time(of, step)}, {_ago(of, of.asked.step - step)} before"
    value = math.nan
    if of.played is not None and of.played.last is not None:
        back = of.played.last - step
        if back < len(of.played.values):
            column = of.played.layout.targets[of.played.target]
            value = float(of.played.values[-1 - back, column])
    yield "last seen", when if math.isnan(value) else f"{_number(value, digits)} at {when}"


def read_by(layout: Layout, target: int) -> Ints:
    """Columns of other series that a model may read for a target, ascending."""
    members = layout.members[layout.units[target]]
    read = np.concatenate([layout.regressors[target].ravel(), layout.companions[target], members])
    return np.setdiff1d(read[read >= 0], layout.targets[target])


def _missing(layout: Layout, columns: Ints, missing: Ints) -> str:
    if not len(missing):
        return f"{len(columns)} series may be read, none of them missing"
    quantity = len({layout.series[c].quantity for c in columns}) > 1
    names = [_name(layout, c, quantity) for c in missing[:NAMED]]
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return f"{len(columns)} series may be read, {len(missing)} missing: {', '.join(names)}{more}"


def _name(layout: Layout, column: int, quantity: bool) -> str:
    series = layout.series[column]
    return f"{series.sensor} {series.quantity}" if quantity else series.sensor


def _explanation(of: Explained, found: Explanation, digits: int) -> list[str]:
    lines = [""]
    if found.derived:
        lines.append(f"In values of {found.derived}:")
    lines += _columns(_experts(found, digits), right=2)
    lines += found.notes
    if found.regression is not None:
        assert of.played is not None
        lines += ["", _heading(found.regression, digits)]
        lines += _columns(_reads(found.regression, of.played.layout, digits), right=1)
    if of.asked.horizon.kind is Kind.SMOOTHED and of.row is not None:
        lines += ["", "This is the nowcast, which the end of the gap has moved since."]
    return lines


def _experts(found: Explanation, digits: int) -> Iterator[Sequence[str]]:
    yield "expert", "", "says", "weight", "usual error"
    ranked = sorted(found.experts, key=lambda said: -said.weight)
    told = [said for said in ranked if said.weight >= LEAST]
    for said in told:
        yield (
            said.name, said.of, _number(said.value, digits), f"{said.weight:.0%}",
            _number(said.error, digits),
        )  # fmt: skip
    if len(ranked) > len(told):
        rest = ranked[len(told) :]
        low, high = (f(s.value for s in rest) for f in (min, max))
        span = f"{_number(low, digits)} to {_number(high, digits)}"
        yield f"{len(rest)} others", span, "", f"{sum(s.weight for s in rest):.1%}", ""
    yield "together", "", _number(found.mixture, digits), "100%", ""


def _heading(of: Regression, digits: int) -> str:
    name = f"{of.expert}, {of.of}" if of.of else of.expert
    return f"What {name} made of the others; usual here is {_number(of.usual, digits)}:"


def _reads(of: Regression, layout: Layout, digits: int) -> Iterator[Sequence[str]]:
    several = len({layout.series[read.column].quantity for read in of.reads}) > 1
    yield "sensor", "value", "usual", "adds"
    for read in of.reads:
        value, adds = _number(read.value, digits), _adds(read.part, digits)
        if math.isnan(read.value):
            value, adds = "missing", ""
        yield _name(layout, read.column, several), value, _number(read.usual, digits), adds
    if of.others:
        yield f"{of.others} others", "", "", _adds(of.rest, digits)
    yield "carried on", "", "", _adds(of.carried, digits)


def _digits(of: Explained) -> int:
    """Decimals that show two digits of the least usual error, or of the interval."""
    sizes = [s.error for s in (of.explanation.experts if of.explanation else ()) if _weighs(s)]
    if of.row is not None and of.row["lower"] is not None:
        sizes.append((of.row["upper"] - of.row["lower"]) / 4)
    sizes = [size for size in sizes if 0 < size < math.inf]
    return min(max(1 - math.floor(math.log10(min(sizes))), 0), 12) if sizes else 3


def _weighs(said: Said) -> bool:
    return said.weight >= LEAST


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _adds(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # no -0.00


def _ago(of: Explained, steps: int) -> str:
    return f"{steps} step{'' if steps == 1 else 's'} ({_long(steps * of.grid.interval)})"


def _long(duration: int) -> str:
    """Microseconds in the two greatest units that say them, such as ``12h 30min``."""
    parts = []
    for unit in sorted(MICROSECONDS, key=lambda name: -MICROSECONDS[name]):
        number, duration = divmod(duration, MICROSECONDS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def _time(of: Explained, step: int) -> str:
    moment = datetime.fromtimestamp(of.grid.begin(step) / 1e6, UTC)
    return f"{moment:%Y-%m-%d %H:%M}" + (f":{moment:%S}" if moment.second else "")


def _columns(rows: Iterator[Sequence[str]], right: int = 99) -> list[str]:
    """Rows as lines of aligned columns, those from `right` on to the right."""
    table = [*rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if c >= right else cell.ljust(width)
            for c, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
