"""What a run has not used: how many readings, why, and the first of each kind."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gapcast.engine.grid.screening import REASONS
from gapcast.engine.spelling import printable

SHARE = 0.01
"""Of a greater part of its readings unused, a run warns."""

EVERY = 60.0
"""Seconds between two warnings."""

MOST_KINDS = 100
"""Of more kinds the rest is one."""

_OTHER = "other reasons"
_SHOWN = 60

KEYS = {
    "late": "source.order, grid.lateness, grid.future",
    "duplicate": "grid.duplicates, source.sensor, source.time",
    "time too far ahead": "grid.future",
    "time before grid.earliest": "grid.earliest, source.time_format",
    "time too far in the future": "source.time_format, source.timezone",
    "time on no clock": "source.timezone",
    "malformed time": "source.time, source.time_format, source.skip_after",
    "malformed field": "source.missing, source.decimal, source.value",
    "malformed line": "source.delimiter, source.columns, source.skip, source.comment",
    "rest of a line": "source.follow",
    "malformed name": "source.encoding, source.sensor",
    "unknown series": "network.sensors, targets, source.sensor",
    "rejected": "limits",
    "outlier": "screen",
    "stuck": "screen",
    "drifting": "screen",
}
"""The keys of a config that bear on readings not used, by how the reason begins."""


@dataclass
class Kind:
    """Dead letters of one reason: how many, and where and what the first one is."""

    reason: str
    count: int
    first: str

    @property
    def keys(self) -> str:
        """The keys of the config that bear on it, or nothing."""
        return next((keys for begin, keys in KEYS.items() if self.reason.startswith(begin)), "")

    def __str__(self) -> str:
        """In a line."""
        keys = f"; see {self.keys}" if self.keys else ""
        return f"{self.count:,} {self.reason}; the first: {self.first}{keys}"


class Unused:
    """Tells dead letters apart by their reasons, as they pass by."""

    def __init__(self, kinds: Iterable[dict[str, Any]] = ()) -> None:
        self._kinds = {kind["reason"]: Kind(**kind) for kind in kinds}
        self._warned = float("-inf")

    def add(self, letters: pa.RecordBatch) -> None:
        """Count these (schema `DEAD_LETTERS`)."""
        if not len(letters):
            return
        reasons = general(letters["reason"].dictionary_decode())
        for counted in pc.value_counts(reasons):
            reason = counted["values"].as_py()
            if reason not in self._kinds:
                first = letters.slice(pc.index(reasons, reason).as_py(), 1).to_pylist()[0]
                if len(self._kinds) >= MOST_KINDS:
                    reason = _OTHER
                self._kinds.setdefault(reason, Kind(reason, 0, described(first)))
            self._kinds[reason].count += counted["counts"].as_py()

    @property
    def kinds(self) -> list[Kind]:
        """What there was, the most frequent first."""
        return sorted(self._kinds.values(), key=lambda kind: -kind.count)

    def snapshot(self) -> list[dict[str, Any]]:
        """All of it as JSON values, from which another one goes on."""
        return [asdict(kind) for kind in self._kinds.values()]

    def warning(self, read: int, used: int) -> str | None:
        """What to say of a run that has read so much and used so little, if it is time to."""
        now = time.monotonic()
        if now - self._warned < EVERY or not many(read, used):
            return None
        self._warned = now
        return " ".join(summary(read, used, self.kinds[:1]))


def general(reasons: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Reasons without what differs from one screened reading to the next."""
    return pc.replace_substring_regex(reasons, f"^({'|'.join(REASONS)}).*$", r"\1")


def many(read: int, used: int) -> bool:
    """Whether more than `SHARE` of what was read was not used."""
    return read - used > SHARE * read


def summary(read: int, used: int, kinds: list[Kind]) -> list[str]:
    """A line that says how many readings were not used, and one for each reason."""
    unused = read - used
    head = f"{unused:,} of {read:,} readings ({unused / max(read, 1):.1%}) were not used:"
    return [head, *map(str, kinds)]


def described(letter: dict[str, Any]) -> str:
    """A dead letter in words: its place, and what is known of it."""
    at = letter["partition"]
    if letter["offset"] is not None:
        at += f":{letter['offset']}"
    name = "/".join(letter[k] for k in ("sensor", "quantity") if letter[k])
    parts = [at, name]
    if letter["time"] is not None:
        parts.append(f"{letter['time'].astimezone(UTC):%Y-%m-%d %H:%M:%S}")
    if letter["value"] is not None:
        parts.append(f"{letter['value']:g}")
    if letter["raw"] is not None:
        parts.append(repr(letter["raw"][:_SHOWN].decode(errors="replace")))
    return printable(" ".join(filter(None, parts)))
