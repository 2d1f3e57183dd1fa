"""How a run reads a text table: the keys of the source ``replay`` that say what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.filling.file import Asked, Written
from gapcast.engine.forecaster import Ints
from gapcast.plugins.sources.text.cells import NUMBERS, WORDS
from gapcast.plugins.tables.columns import Read
from gapcast.plugins.tables.content import Content
from gapcast.plugins.tables.dates import UNZONED, Dated
from gapcast.plugins.tables.layout import Layout, cells

_ALWAYS = {"nan", "na", "null"}
"""Words that any run reads as missing."""


class Understood(NamedTuple):
    """What a text file is taken for. commented: lines among its rows begin with ``#``. open: rows
    end with a delimiter."""

    layout: Layout
    content: Content
    read: Read
    dated: Dated
    asked: Asked
    commented: bool
    open: bool


def written(of: Understood, keys: Mapping[int, tuple[str, ...]], times: Ints) -> Written:
    """The keys under which ``replay`` reads the rows. keys: texts of the columns of the series.
    times: of the rows, in UTC."""
    names = _names(of)
    source: dict[str, Any] = {"type": "replay", "format": "csv", "delimiter": of.layout.delimiter}
    source |= _lines(of, names)
    if of.content.encoding not in ("utf-8", "utf-16-le", "utf-16-be"):
        source["encoding"] = of.content.encoding
    slots = [names[c] for c in of.layout.times]
    source["time"] = slots[0] if len(slots) == 1 else slots
    source["time_format"] = of.dated.form
    unsure = {}
    if of.dated.local.any():
        source["timezone"] = of.asked.zone or "UTC"
        unsure |= {} if of.asked.zone else {"timezone": UNZONED}
    if of.dated.others:
        unsure["time_format"] = f"times could also be read as {', '.join(of.dated.others)}"
    if (np.diff(times) < 0).any():
        source["order"] = "time"
    source |= _numbers(of)
    return Written(
        source,
        tuple(names[c] for c in of.read.slots),
        {names[c]: texts for c, texts in keys.items()},
        {names[c]: of.layout.units[c] for c in of.read.slots if of.layout.units[c]},
        unsure,
    )


def _names(of: Understood) -> list[str]:
    """Names of the columns, each another; of one more where rows end with a delimiter."""
    found: list[str] = []
    for name in [*of.layout.names, *(["end"] if of.open else [])]:
        number, own = 1, name
        while own in found:
            number += 1
            own = f"{name} ({number})"
        found.append(own)
    return found


def _lines(of: Understood, names: list[str]) -> dict[str, Any]:
    """What stands before the rows, and what they are called where no line says it as it is."""
    layout, found = of.layout, dict[str, Any]()
    head = bytes(of.content.text[: 1 << 20]).decode(errors="replace").splitlines()
    if of.commented:
        found["comment"] = "#"
    line = head[layout.header] if 0 <= layout.header < len(head) else ""
    if layout.header >= 0 and cells(line, layout.delimiter) == names and line[:1] != "#":
        found["skip"] = layout.header
        found["skip_after"] = layout.first - layout.header - 1
    else:
        found["skip"] = layout.first
        found["columns"] = names
    return {key: value for key, value in found.items() if value}


def _numbers(of: Understood) -> dict[str, Any]:
    """Marks in numbers, and what stands for a missing value where it is not the usual."""
    found: dict[str, Any] = {}
    if of.read.marks.decimal != ".":
        found["decimal"] = of.read.marks.decimal
    if of.read.marks.thousands:
        found["thousands"] = of.read.marks.thousands
    words = [text for text in of.read.words if text.lower() not in _ALWAYS and text]
    usual = {*WORDS, *(f"{number:g}" for number in NUMBERS)}
    if {text.lower() for text in words} - usual or np.isin(of.read.values, NUMBERS).any():
        found["missing"] = sorted({*words})
    return found
