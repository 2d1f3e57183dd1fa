"""``influx-line``: InfluxDB's line protocol, as exports and Telegraf write it.

    measurement,tag=value field=1.5,other=2i 1700000000000000000

A field is a quantity, true and false are 1 and 0. Which tag is the sensor, `sensor` says. Blank
lines, comments and the statements before ``# DML`` in an export are passed over. A point without a
time cannot be used, nor one that has a field twice; a text must not span lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from gapcast.engine.plugin import Params
from gapcast.engine.units import expecting
from gapcast.plugins.sources.formats.format import Parsed, TextFormat
from gapcast.plugins.sources.formats.rows import (
    BAD_LINE,
    BAD_NAME,
    BAD_TIME,
    GOOD,
    SKIPPED,
    Labels,
    Rows,
)
from gapcast.plugins.sources.text.cells import Cells
from gapcast.plugins.sources.text.decimals import FINE
from gapcast.plugins.sources.text.names import LONGEST, gather
from gapcast.plugins.sources.text.patterns import reader
from gapcast.plugins.sources.text.points import FALSE, TRUE, Points, points
from gapcast.plugins.sources.text.split import Bytes, Fields
from gapcast.plugins.sources.text.times import NONE

MEASUREMENT, FIELD = "_measurement", "_field"
"""What these are called among the tags."""

Ints = NDArray[np.int32]
Tags = Mapping[str, str]

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_SERIES = 200_000
"""So many series are remembered with their tags."""
_STATES = np.array([GOOD, SKIPPED, BAD_LINE], np.int8)


def _template(value: str) -> str:
    if not _PLACEHOLDER.search(value):
        raise expecting("a text with tags in braces, such as {_measurement}.{_field}")
    return value


class InfluxLineOptions(Params):
    """Keys of the format ``influx-line``."""

    sensor: str = Field(
        default="sensor",
        description="The tag that is the sensor, or a text with several in braces: {site}/{room}.",
    )
    quantity: Annotated[str, AfterValidator(_template)] = Field(
        default="{_field}",
        description="What the quantity is called; with the measurement {_measurement}.{_field}.",
    )
    time_format: Literal["ns", "us", "ms", "s"] = Field(
        default="ns", description="The precision of times."
    )
    missing: list[str | float] | None = Field(
        default=None, description="Texts and numbers that say that a value is missing."
    )


class InfluxLine(TextFormat):
    """Points, a line each; the fields of one by the names of their quantities."""

    Options = InfluxLineOptions

    options: InfluxLineOptions

    @property
    def encoding(self) -> str:
        """See `TextFormat.encoding`: the protocol has one only."""
        return "utf-8"

    def start(self, head: list[bytes]) -> int:
        """See `TextFormat.start`."""
        options = self.options
        self._times = reader(options.time_format)
        missing = None if options.missing is None else [str(text) for text in options.missing]
        self._cells = Cells(missing=missing, tell=lambda note: self.file.tell(f": {note}"))
        self._known: dict[bytes, Tags | None] = {}
        self._sensor = self._named("sensor", options.sensor)
        self._quantity = self._named("quantity", options.quantity)
        comments = takewhile(lambda line: line.startswith(b"#"), head)
        if not any(line.startswith(b"# DDL") for line in comments):
            return 0
        return next((k for k, line in enumerate(head) if line.startswith(b"# DML")), 0)

    def facts(self) -> dict[str, str]:
        """See `TextFormat.facts`."""
        options = self.options
        names = {"sensor": options.sensor, "quantity": options.quantity, **self.file.said}
        return super().facts() | {
            "time": f"{options.time_format} since 1970",
            "names": ", ".join(f"{role} {name}" for role, name in names.items()),
        }

    def parse(self, text: Bytes) -> Parsed:
        """See `TextFormat.parse`."""
        found = points(text)
        heads = gather(text, *_ends(found.head)).dictionary_encode()
        series = [self._tags(raw) for raw in heads.dictionary.to_pylist()]
        head = heads.indices.to_numpy()
        quantities, column = self._columns(text, found, series, head)
        sensors, numbers = _numbered([tags and self._sensor(tags) for tags in series])
        sensor = numbers[head]
        broken = np.array([tags is None for tags in series], np.bool_)[head]
        state = _states(found, broken, column, sensor)
        cells = _cells(text, found, column, len(quantities), state)
        time = self._placed(text, found, state)
        slots = list(range(len(quantities)))
        values, what = self._cells.read(cells, slots, state)
        for kind, number in ((TRUE, 1.0), (FALSE, 0.0)):
            at = (column >= 0) & (found.kind == kind) & (state[found.of] == GOOD)
            values[found.of[at], column[at]] = number
            what[found.of[at], column[at]] = FINE
        labels = Labels(
            sensor=sensor,
            quantity=np.full(len(state), -1, np.int32),
            of_sensor=np.full(len(slots), -1, np.int32),
            of_quantity=np.arange(len(slots), dtype=np.int32),
            sensors=pa.array(sensors, pa.string()),
            quantities=pa.array(quantities, pa.string()),
        )
        return Parsed(Rows(state, time, values, what, labels), cells, slots)

    def _tags(self, head: bytes) -> Tags | None:
        """The measurement and tags of a point by their names; None if they are not such."""
        if head not in self._known:
            if len(self._known) >= _SERIES:
                self._known.clear()
            self._known[head] = _read(head)
        return self._known[head]

    def _named(self, role: str, template: str) -> Callable[[Tags], str | None]:
        """What makes the name of a sensor or quantity of tags; None where one is not there."""
        said = self.file.said.get(role)
        if not _PLACEHOLDER.search(template):
            template = f"{{{template}}}"

        def name(tags: Tags) -> str | None:
            try:
                made = said or _PLACEHOLDER.sub(lambda tag: tags[tag[1]], template)
            except KeyError:
                return None
            return made if len(made.encode()) <= LONGEST else None

        return name

    def _columns(
        self, text: Bytes, found: Points, series: list[Tags | None], head: Ints
    ) -> tuple[list[str], Ints]:
        """The wanted quantities, sorted, and of each field the number of its own."""
        keys = gather(text, *_ends(found.key)).dictionary_encode()
        fields = [_text(key) for key in keys.dictionary.to_pylist()]
        pairs, which = np.unique(
            head[found.of].astype(np.int64) * max(1, len(fields)) + keys.indices.to_numpy(),
            return_inverse=True,
        )
        names = []
        for pair in pairs.tolist():
            tags, field = series[pair // len(fields)], fields[pair % len(fields)]
            named = None if tags is None or field is None else {**tags, FIELD: field}
            names.append(named and self._quantity(named))
        quantities = sorted({name for name in names if name and self.wanted(name)})
        number = {name: k for k, name in enumerate(quantities)}
        numbers = [UNNAMED if name is None else number.get(name, UNWANTED) for name in names]
        return quantities, np.array(numbers, np.int32)[which]

    def _placed(self, text: Bytes, found: Points, state: NDArray[np.int8]) -> NDArray[np.int64]:
        """The times of the points; those without are noted in `state`."""
        starts, ends = _ends(found.time)
        starts[state != GOOD] = ends[state != GOOD] = 0
        time, kinds = self._times(text, starts, ends)
        state[(state == GOOD) & (kinds == NONE)] = BAD_TIME
        return time


UNWANTED, UNNAMED = -1, -2
"""Instead of the number of a field's quantity."""


def _states(
    found: Points, broken: NDArray[np.bool_], column: Ints, sensor: Ints
) -> NDArray[np.int8]:
    """What became of each line, its time left aside. A line without a wanted field is passed
    over."""
    state = _STATES[found.state]
    state[(state == GOOD) & broken] = BAD_LINE
    n, good = len(state), state == GOOD
    unnamed, wanted = _any(found.of[column == UNNAMED], n), _any(found.of[column >= 0], n)
    state[good & ~wanted & ~unnamed] = SKIPPED
    state[good & (unnamed | (wanted & (sensor < 0)))] = BAD_NAME
    return state


def _cells(
    text: Bytes, found: Points, column: Ints, columns: int, state: NDArray[np.int8]
) -> Fields:
    """The values as a table; a line that has a field twice is noted in `state`."""
    n = len(state)
    row, at = found.of[column >= 0], column[column >= 0]
    cell, times = np.unique(row * columns + at, return_counts=True)
    state[cell[times > 1] // max(1, columns)] = BAD_LINE
    starts, ends = np.full((n, columns), -1, np.int32), np.full((n, columns), -1, np.int32)
    starts[row, at], ends[row, at] = found.value[column >= 0].T
    return Fields(text, found.lines, np.full(n, columns, np.int32), starts, ends)


def _any(rows: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """(n,) which rows are among these."""
    here = np.zeros(n, np.bool_)
    here[rows] = True
    return here


def _ends(places: Ints) -> tuple[Ints, Ints]:
    return places[:, 0].copy(), places[:, 1].copy()


def _numbered(names: list[str | None]) -> tuple[list[str], Ints]:
    """The different names, and the number of each, -1 for None."""
    known: dict[str, int] = {}
    numbers = [-1 if name is None else known.setdefault(name, len(known)) for name in names]
    return list(known), np.array(numbers, np.int32)


def _read(head: bytes) -> Tags | None:
    """The measurement and tags in the head of a point; None if a tag is none, or there twice."""
    measurement, *parts = re.split(rb"(?<!\\),", head)
    tags = {MEASUREMENT: _text(measurement)}
    for part in parts:
        key, *value = re.split(rb"(?<!\\)=", part, maxsplit=1)
        tags[_text(key) or ""] = _text(value[0]) if value else None
    known = {key: value for key, value in tags.items() if key and value}
    return known if len(known) == 1 + len(parts) else None


def _text(name: bytes) -> str | None:
    """A name without its backslashes; None if it is not UTF-8."""
    try:
        return re.sub(rb"\\([,= ])", rb"\1", name).decode()
    except UnicodeDecodeError:
        return None
