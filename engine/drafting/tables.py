"""The draft of a config for tables in files: what each column is, and which paths to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from gapcast.engine.drafting import columns
from gapcast.engine.drafting.draft import NOTES, Draft, config_of
from gapcast.engine.drafting.steps import steps, usual
from gapcast.engine.drafting.text import Path as Keys
from gapcast.engine.errors import DataError, Undecided
from gapcast.engine.filling import telling
from gapcast.engine.filling.file import Asked, TableFile, ending, open_table
from gapcast.engine.filling.whole import Whole, whole
from gapcast.engine.units import write_duration

FEWER = 0.6
"""An interval this much shorter than the usual one of a series is only that of several."""
LOOKED = 3
"""So many files of a folder are looked into."""


def draft(path: Path, asked: Asked, interval: int | None = None) -> Draft:
    """The draft for a file, or for the files of one kind in a folder. interval: of a step, in
    microseconds, None: found. Raises DataError where no table is found."""
    unsure: dict[Keys, str] = {}
    files, pattern = [path], str(path)
    if path.is_dir():
        files, pattern = _within(path)
    opened = [_open(file, asked, unsure) for file in _few(files)]
    first = opened[0]
    written = first.written()
    for other in opened[1:]:
        _check_alike(first, other)
    by_name = len(files) > 1 and not written.keys and _overlap(opened)
    if by_name:
        pattern = str(Path(pattern).with_name("{sensor}" + ending(files[0])))
    known = columns.series(first, None if by_name else _stem(path))
    source = {"type": written.source["type"], "path": pattern, **written.source, **known.source}
    unsure |= {("source", key): why for key, why in {**written.unsure, **known.unsure}.items()}
    of, found = _record(first, interval, unsure)
    grid = steps(first.rows.times, found, asked.zone)
    unsure |= {("grid", key): why for key, why in grid.unsure.items() if interval is None}
    count = len(columns.measured(first).values) * max(1, len(first.rows.names))
    lines = [str(path), *_told(of, known.quantities, count, len(files), pattern)]
    config = config_of(_stem(path), source, grid.grid, known.quantities)
    notes: dict[Keys, str] = {
        ("source", "wide", name): unit for name, unit in written.units.items()
    }
    return Draft(str(path), config, {**NOTES, **notes}, unsure, lines)


def _stem(path: Path) -> str:
    return path.resolve().name.removesuffix(ending(path)) or "data"


def _within(folder: Path) -> tuple[list[Path], str]:
    """The files of the commonest ending in a folder, and the path that means them all."""
    there = [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not any(part[0] in "._" for part in p.relative_to(folder).parts)
    ]
    if not there:
        raise DataError(f"{folder}: there is no file in it; expected files with tables")
    most = Counter(ending(p) for p in there).most_common(1)[0][0]
    chosen = [p for p in there if ending(p) == most]
    deep = "**/" if any(p.parent != folder for p in chosen) else ""
    return chosen, f"{folder}/{deep}*{most}"


def _few(files: Sequence[Path]) -> list[Path]:
    return [files[k] for k in sorted({0, len(files) // 2, len(files) - 1})[:LOOKED]]


def _open(path: Path, asked: Asked, unsure: dict[Keys, str]) -> TableFile:
    """The table in a file; of what it may be, the first choice, which is told."""
    while True:
        try:
            return open_table(path, asked)
        except Undecided as error:
            if not error.choices:
                raise
            choice, *rest = error.choices
            other = " or ".join(map(repr, rest))
            key = error.option.removeprefix("--").replace("-", "_")
            unsure["source", key] = f"could as well be {other} ({error.option})"
            asked = asked.answered(error.option, choice)


def _check_alike(one: TableFile, other: TableFile) -> None:
    """Files that one source reads are written the same way. Raises DataError."""
    here, there = one.written(), other.written()
    pair = {**here.source, "columns of values": here.values, "sensor": tuple(here.keys)}
    twin = {**there.source, "columns of values": there.values, "sensor": tuple(there.keys)}
    for key in sorted(pair.keys() | twin.keys() - {"order", "missing"}):
        if pair.get(key) != twin.get(key) and key not in ("order", "missing"):
            raise DataError(
                f"{one.path} and {other.path} are not written in one way: {key} is "
                f"{pair.get(key)!r} and {twin.get(key)!r}; make a config of each kind by itself"
            )


def _overlap(files: Sequence[TableFile]) -> bool:
    """Whether files are of the same times, so that each is of another sensor."""
    spans = sorted((int(f.rows.times.min()), int(f.rows.times.max())) for f in files)
    return any(later[0] <= earlier[1] for earlier, later in pairwise(spans))


def _record(file: TableFile, interval: int | None, unsure: dict[Keys, str]) -> tuple[Whole, int]:
    """The record of a file, and the interval of a step."""
    rows = file.rows
    own = usual(rows.times, rows.sensors)
    at = ("grid", "interval")
    try:
        of = whole(file, interval)
    except DataError:
        if interval is None and own is None:
            unsure[at] = "there is one time only: say how often there is a reading"
        elif interval is None:
            unsure[at] = (
                "times are not even; this is how far readings of a series usually are apart"
            )
        interval = interval or own or 3_600_000_000
        return whole(file, interval, crowded=True), interval
    found = of.record.interval
    if interval is None and own is not None and found < FEWER * own:
        unsure[at] = (
            f"rows follow each other by {write_duration(found)}, but those of one sensor by this"
        )
        return whole(file, own, crowded=True), own
    return of, found


def _told(of: Whole, quantities: Sequence[str], count: int, files: int, pattern: str) -> list[str]:
    """About ten lines on what was understood."""
    lines = telling.understood(of)
    if files > 1:
        lines.insert(0, f"  files     {files:,}, as {of.file.path.name}: {pattern}")
    missing, names = of.record.missing, telling.series(of)
    gaps = missing.sum(axis=0)
    if gaps.any():
        most = int(gaps.argmax())
        longest = int(telling.runs(missing[:, most]).max())
        lines.append(
            f"  gaps      in {int((gaps > 0).sum()):,} of {len(names):,} series, "
            f"{missing.mean():.1%} is missing; most in {names[most]}, the longest "
            f"{longest:,} steps ({write_duration(longest * of.record.interval)})"
        )
    else:
        lines.append("  gaps      none: every cell has a value")
    shown = ", ".join(quantities[:8]) + (", …" if len(quantities) > 8 else "")
    each = " in each file" if "{sensor}" in pattern else ""
    lines.append(f"  targets   {count:,} series of {shown}{each}")
    return lines
