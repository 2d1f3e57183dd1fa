"""What was understood of a file, and what became of its gaps, in aligned lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from gapcast.engine.filling.file import Answers
from gapcast.engine.filling.record import Mask
from gapcast.engine.filling.whole import Whole
from gapcast.engine.spelling import counted
from gapcast.engine.units import write_duration, write_time

MOST = 8
"""Series of which a line is told; those with the most gaps."""
REASONS = 6
"""Reasons that are told."""


def understood(of: Whole) -> list[str]:
    """What a file is taken for."""
    rows, record = of.file.rows, of.record
    last = (record.first + of.steps.total - 1) * record.interval
    begin = int(rows.times.min())
    span = f"{write_time(begin)} to {write_time(begin + last - record.first * record.interval)}"
    facts = {
        **rows.facts,
        "columns": _few(rows.columns)
        + (f" ({len(rows.columns):,})" if len(rows.columns) > 1 else ""),
        "interval": f"{write_duration(record.interval)}, {len(rows.times):,} rows, "
        f"{of.steps.total:,} steps, {span}",
    }
    absent = int(of.absent.sum())
    if absent:
        facts["no rows"] = (
            f"{absent:,} ({absent / of.absent.size:.1%}) are not there; none is added"
        )
    unused = list(rows.unused)
    if len(again := of.repeated):
        unused.append(
            f"{counted(len(again), 'row')}: a step that has a row already, as "
            f"{of.file.place(int(again[0]))}"
        )
    lines = [*_aligned(facts.items())]
    lines += _aligned(("not used" if i == 0 else "", why) for i, why in enumerate(unused[:REASONS]))
    if len(unused) > REASONS:
        lines += _aligned([("", f"… and {len(unused) - REASONS} more")])
    return lines


def gaps(of: Whole) -> list[str]:
    """The gaps of each series: how many, the longest, the share that is missing."""
    names, missing = series(of), of.record.missing
    count = missing.sum(axis=0)
    order = [int(s) for s in np.argsort(-count, kind="stable") if count[s]]
    if not order:
        return [*_aligned([("gaps", "none: every cell has a value")])]
    width = max(len(names[s]) for s in order[:MOST])
    lines = []
    for i, s in enumerate(order[:MOST]):
        lengths = runs(missing[:, s])
        longest = write_duration(int(lengths.max()) * of.record.interval)
        lines.append(
            (
                "gaps" if i == 0 else "",
                f"{names[s]:<{width}}  {counted(len(lengths), 'gap'):>12}  "
                f"{counted(int(count[s]), 'step'):>15}  "
                f"{count[s] / len(missing):>6.1%}  longest {int(lengths.max()):,} ({longest})",
            )
        )
    if more := len(order) - MOST:
        rest = int(count[order[MOST:]].sum())
        if more > 0:
            lines.append(("", f"… and {more:,} more series, {rest:,} steps"))
    return [*_aligned(lines)]


def outcome(of: Whole, answers: Answers) -> list[str]:
    """How many cells were filled, and what is still missing and why."""
    rows = of.file.rows
    asked, found = int(rows.gaps.sum()), int(np.isfinite(answers.values).sum())
    lines = [("filled", f"{found:,} of {counted(asked, 'cell')}")]
    if left := asked - found:
        again = int(rows.gaps[of.repeated].sum())
        why = [f"{again:,} in rows of a step that has a row already"] if again else []
        if left > again:
            why.append(f"{left - again:,} of which nothing is known")
        lines.append(("missing", f"{counted(left, 'cell')}: {'; '.join(why)}"))
    return [*_aligned(lines)]


def series(of: Whole) -> list[str]:
    """Names of the series of a record."""
    rows = of.file.rows
    if not rows.names:
        return list(rows.columns)
    if len(rows.columns) == 1:
        return list(rows.names)
    return [f"{name} {column}" for name in rows.names for column in rows.columns]


def runs(missing: Mask) -> np.ndarray:
    """Lengths of the gaps of a series."""
    edges = np.diff(np.concatenate([[0], missing.astype(np.int8), [0]]))
    return np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)


def _aligned(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    for what, how in facts:
        yield f"  {what:<8}  {how}"


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
