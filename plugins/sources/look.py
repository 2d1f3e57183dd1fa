"""A first look at the files of a source: what a run would understand of their first lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from gapcast.engine.errors import SourceError
from gapcast.engine.output.unused import Unused, summary
from gapcast.engine.spelling import meant
from gapcast.plugins.sources.files import File
from gapcast.plugins.sources.formats.format import Format

_NAMES = 12
"""So many names are shown of a list."""


def few(files: Sequence[File]) -> list[File]:
    """The files that are looked into: the first, the one in the middle and the last."""
    return [files[k] for k in sorted({0, len(files) // 2, len(files) - 1})]


def first_look(
    files: Sequence[File], reader: Callable[[File], Format], targets: Set[str]
) -> dict[str, str]:
    """What is understood of `few` of the files, in words by what it is.

    Raises SourceError when a file cannot be read, no reading of its first lines can be, or it has,
    for sure, no reading of the targets.
    """
    chosen = few(files)
    seen = _Seen(whole=len(chosen) == len(files))
    for file in chosen:
        seen.look(reader(file))
    if not seen.read and seen.unused.kinds:
        raise nothing_read(seen.unused)
    facts = {"files": _files(files, chosen), **seen.facts}
    facts["quantities"] = _listed(seen.quantities)
    if absent := sorted(targets - {*seen.quantities}):
        facts["quantities"] = _without(absent, map(reader, chosen), seen.whole)
    if seen.read:
        facts["sensors"] = f"{len(seen.sensors):,} in the first lines: {_listed(seen.sensors)}"
        facts["first"] = _written(seen.first)
    if seen.unused.kinds:
        head, *kinds = summary(seen.read + seen.letters, seen.read, seen.unused.kinds[:1])
        facts["not used"] = f"{head} {kinds[0]}"
    return facts


def nothing_read(unused: Unused) -> SourceError:
    """The error of a source none of whose readings can be used."""
    return SourceError("\n  ".join(["no reading can be used:", *map(str, unused.kinds[:5])]))


@dataclass
class _Seen:
    """What the first lines of some files hold. whole: there is no more in the source."""

    whole: bool
    facts: dict[str, str] = field(default_factory=dict)
    quantities: dict[str, None] = field(default_factory=dict)
    sensors: dict[str, None] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    unused: Unused = field(default_factory=Unused)
    read: int = 0
    letters: int = 0

    def look(self, reader: Format) -> None:
        """Look at the first lines of one more file."""
        chunks = reader.chunks(None)
        chunk = next(chunks, None)
        if chunk is not None:
            readings = chunk.readings
            self.read += len(readings)
            self.letters += len(chunk.dead_letters)
            self.unused.add(chunk.dead_letters)
            self.quantities |= dict.fromkeys(readings["quantity"].unique().to_pylist())
            self.sensors |= dict.fromkeys(readings["sensor"].unique().to_pylist())
            if len(readings) and not self.first:
                self.first = readings.slice(0, 1).to_pylist()[0]
            self.whole = next(chunks, None) is None and self.whole
        for what, how in reader.facts().items():
            known = self.facts.setdefault(what, how)
            if how not in known.split(" | "):
                self.facts[what] = f"{known} | {how}"


def _without(absent: Sequence[str], readers: Iterable[Format], whole: bool) -> str:
    """Which quantities there are where some of the targets are not. Raises SourceError if it is
    sure that they are not."""
    seen = _Seen(whole)
    for reader in readers:
        reader.quantities = None
        seen.look(reader)
    there = sorted(seen.quantities)
    if seen.whole and there:
        close = next(filter(None, (meant(name, there) for name in absent)), "")
        raise SourceError(
            f"targets.quantities: the source has no {_listed(map(repr, absent))}{close}, only "
            f"{_listed(there)}"
        )
    return f"{_listed(there) or 'none'}; not in the first lines: {_listed(absent)}"


def _files(files: Sequence[File], chosen: Sequence[File]) -> str:
    if len(files) == 1:
        return files[0].path
    into = "" if len(chosen) == len(files) else f"; {len(chosen)} of them were looked into"
    return f"{len(files):,}, from {files[0].path} to {files[-1].path}{into}"


def _written(reading: dict[str, Any]) -> str:
    value = "missing" if reading["value"] is None else f"{reading['value']:g}"
    time = reading["time"].astimezone(UTC)
    return f"{time:%Y-%m-%d %H:%M:%S} UTC, {reading['sensor']}/{reading['quantity']} {value}"


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_NAMES]) + (", …" if len(shown) > _NAMES else "")
