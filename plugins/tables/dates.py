"""The times of a table's rows, from texts of which it is not said how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.errors import DataError, Undecided
from gapcast.engine.filling.file import Asked
from gapcast.engine.forecaster import Ints
from gapcast.engine.zones import known
from gapcast.plugins.sources.text.clock import Clock
from gapcast.plugins.sources.text.names import Names, joined
from gapcast.plugins.sources.text.patterns import reader
from gapcast.plugins.sources.text.split import Fields
from gapcast.plugins.sources.text.times import LOCAL, NONE, Times
from gapcast.plugins.tables.layout import Layout
from gapcast.plugins.tables.moments import NUMBERS

UNZONED = "times do not say their zone: say here whose clock they are, such as Europe/Berlin"


class Dated(NamedTuple):
    """(n,) each, of lines: times in microseconds since 1970, those that are local as if they were
    UTC, which these are, and which lines have a time. fact: how they are written. form: the format;
    others: formats in which they can be read as well."""

    times: Ints
    local: NDArray[np.bool_]
    fine: NDArray[np.bool_]
    fact: str
    form: str
    others: tuple[str, ...] = ()


def dated(path: Path, split: Fields, lines: Ints, layout: Layout, asked: Asked) -> Dated:
    """The times of lines. Raises Undecided where two readings are as good, DataError."""
    if layout.others and not asked.time:
        every = [layout.names[j] for j in (*layout.times, *layout.others)]
        raise Undecided(f"{path}: {len(every)} columns hold times", "--time", every)
    slots = list(layout.times)
    rows = split._replace(
        starts=split.starts[lines], ends=split.ends[lines], counts=split.counts[lines]
    )
    text, starts, ends = joined(rows, slots)
    starts = np.maximum(starts, 0)
    ends = np.maximum(ends, starts)
    formats = [asked.time_format] if asked.time_format else layout.formats
    found: dict[str, Times] = {}
    pointed = text
    if {*formats} & NUMBERS:
        pointed = np.where(text == ord(","), np.uint8(ord(".")), text)
    for form in formats:
        try:
            of = pointed if form in NUMBERS else text
            found[form] = reader(form)(of, starts, ends)
        except ValueError as error:
            raise DataError(f"--time-format {form!r} {error}") from None
    best = max(int((kinds != NONE).sum()) for _, kinds in found.values())
    if best == 0:
        begin, end = int(starts[0]), int(ends[0])
        shown = bytes(text[begin:end]).decode(errors="replace")
        names = " and ".join(repr(layout.names[j]) for j in slots)
        raise DataError(
            f"{path}: line {lines[0] + 1:,}, column {names}: {shown!r} is no time as "
            f"{' or '.join(formats)}; --time-format says how it is written, as for strptime"
        )
    equal = [form for form, (_, kinds) in found.items() if (kinds != NONE).sum() == best]
    form = _chosen(equal, found, f"{path}: times can be read in {len(equal)} ways")
    why = f", as {form}" + (" since they are even so" if len(equal) > 1 else "")
    times, kinds = found[form]
    names = " and ".join(repr(layout.names[j]) for j in slots)
    others = tuple(other for other in equal if other != form)
    return Dated(times, kinds == LOCAL, kinds != NONE, names + why, form, others)


def _chosen(forms: Sequence[str], found: dict[str, Times], what: str) -> str:
    """The only format, or the one under which times follow each other as times do: with far fewer
    jumps, and from first to last in far less time."""
    if len(forms) == 1:
        return forms[0]
    seen = {}
    for form in forms:
        times, kinds = found[form]
        apart = np.diff(np.unique(times[kinds != NONE]))
        usual = np.bincount(np.unique(apart, return_inverse=True)[1]).max(initial=0)
        seen[form] = int(len(apart) - usual), int(apart.sum())
    ordered = sorted(forms, key=seen.__getitem__)
    one, other = ordered[:2]
    fewer, span = seen[one]
    more, wide = seen[other]
    if 2 * fewer < more and 2 * span < wide:
        return one
    raise Undecided(what, "--time-format", ordered)


def zoned(dated: Dated, sensor: Names, asked: Asked) -> tuple[Ints, str]:
    """Times in UTC of the lines that have one, and in words what zone they were taken for."""
    times, local = dated.times[dated.fine], dated.local[dated.fine]
    if asked.zone and not known(asked.zone):
        raise DataError(f"--zone {asked.zone!r}: no such zone; expected one such as Europe/Berlin")
    if not local.any():
        return times, "with their zone"
    zone = asked.zone or "UTC"
    clock = Clock(zone)
    clock.follow(0)
    times, _ = clock.utc(times, local, sensor, Names.none(len(times)))
    return times, f"zone {zone}" if asked.zone else "taken for UTC (--zone)"
