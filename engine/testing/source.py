"""The conformance kit of sources.

A source that never ends (a topic) counts as read through when it has given nothing and stood still
three times in a row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.readings import DEAD_LETTERS, READINGS
from gapcast.engine.source import Position, Read, Source
from gapcast.engine.testing.kit import KitError, suite

PATIENCE = 3
"""Empty reads at the same position after which a live source counts as read through."""
MOST_READS = 100_000
LIMITS = (1, 3, 1 << 20)
"""Readings asked for at once, from a few to all."""

Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]
"""Readings and dead letters."""


@dataclass(frozen=True)
class Case:
    """How to make a source of the same records again and again, and of those with poison."""

    make: Callable[[Path], Source]
    spoiled: Callable[[Path], Source] | None

    def open(self, folder: Path, quantities: Collection[str] | None = None) -> Source:
        """A new object, as a new process would make it."""
        source = self.make(folder)
        source.open(quantities)
        return source


def reads(
    source: Source, partition: str, position: Position | None = None, limit: int = LIMITS[-1]
) -> Iterator[Read]:
    """Every read from `position` to the end."""
    idle = 0
    for _ in range(MOST_READS):
        read = source.read(partition, position, limit)
        yield read
        still = not len(read.readings) + len(read.dead_letters) and read.position == position
        idle, position = idle + 1 if still else 0, read.position
        if read.ended or idle == PATIENCE:
            return
    raise AssertionError(f"partition {partition!r} has no end after {MOST_READS} reads")


def rows(pieces: Iterable[Read]) -> Rows:
    """All that some reads brought, in order, however it was cut."""
    readings: list[dict[str, Any]] = []
    letters: list[dict[str, Any]] = []
    for read in pieces:
        readings += read.readings.to_pylist()
        letters += read.dead_letters.to_pylist()
    return readings, letters


def everything(source: Source) -> dict[str, Rows]:
    """What each partition holds."""
    return {p: rows(reads(source, p)) for p in source.partitions()}


def alike(wanted: Rows, found: Rows, what: str) -> None:
    """Assert that two lots of readings and dead letters are the same, in the same order."""
    for name, one, other in zip(("readings", "dead letters"), wanted, found, strict=True):
        assert len(one) == len(other), f"{what}: {len(other)} {name}, {len(one)} were expected"
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert a == b, f"{what}: of the {name}, number {i} is {b}, {a} was expected"


def reads_have_the_schema(case: Case, tmp_path: Path) -> None:
    """Readings and dead letters are record batches of `READINGS` and `DEAD_LETTERS`; what may not
    be null is not, and a value that is not a number is null, not NaN."""
    source = case.open(tmp_path)
    found = 0
    for p in source.partitions():
        for read in reads(source, p):
            found += len(read.readings)
            for batch, schema in (
                (read.readings, READINGS),
                (read.dead_letters, DEAD_LETTERS),
            ):
                assert isinstance(batch, pa.RecordBatch), f"{type(batch).__name__} was returned"
                assert batch.schema.equals(schema), f"{batch.schema}\ninstead of\n{schema}"
                for field in schema:
                    nulls = batch[field.name].null_count
                    assert field.nullable or not nulls, f"{field.name!r} is null {nulls} times"
            values = read.readings["value"].drop_null().to_numpy()
            assert (values == values).all(), "a value is NaN; missing values are null"
    assert found > 1, f"the kit needs a source with some readings; this one gave {found}"


def partitions_keep_their_order(case: Case, tmp_path: Path) -> None:
    """Partitions are named, each once, in an order that does not change."""
    source = case.open(tmp_path)
    names = source.partitions()
    assert names, "there is no partition"
    assert all(isinstance(n, str) and n for n in names), f"{names} are not all names"
    assert len(set(names)) == len(names), f"{names}: a name comes twice"
    everything(source)
    for again in (source, case.open(tmp_path)):
        assert again.partitions()[: len(names)] == names, "asked again, the order is another"


def partitions_are_read_on_their_own(case: Case, tmp_path: Path) -> None:
    """Reading one partition changes nothing about another, in whatever order they are read."""
    source = case.open(tmp_path)
    wanted = everything(case.open(tmp_path))
    going = {p: reads(source, p, limit=1) for p in source.partitions()}
    found: dict[str, list[Read]] = {p: [] for p in going}
    while going:
        for p in list(going):
            if (read := next(going[p], None)) is None:
                del going[p]
            else:
                found[p].append(read)
    for p, pieces in found.items():
        alike(wanted[p], rows(pieces), f"{p!r}, read in turn with the others")


def positions_are_json(case: Case, tmp_path: Path) -> None:
    """A position is made of JSON values: written to a checkpoint and read back it is the same, and
    a new process goes on from it."""
    source = case.open(tmp_path)
    for p, wanted in everything(source).items():
        done: list[Read] = []
        for read in reads(source, p, limit=1):
            done.append(read)
            text = json.dumps(read.position, allow_nan=False)
            assert isinstance(read.position, dict), f"a position is {text}, not a mapping"
            stored = json.loads(text)
            assert stored == read.position, f"position {read.position} comes back as {stored}"
            if len(done) in (1, 4):
                rest = reads(case.open(tmp_path), p, stored)
                alike(wanted, rows([*done, *rest]), f"{p!r}, gone on from {text}")


def the_same_position_gives_the_same(case: Case, tmp_path: Path) -> None:
    """A position always leads to the same records, however far others have been read since."""
    source = case.open(tmp_path)
    for p in source.partitions():
        seen: list[tuple[Position | None, Read]] = []
        position: Position | None = None
        for read in reads(source, p, limit=1):
            seen.append((position, read))
            position = read.position
        for position, read in (*reversed(seen[:12]), *seen[:3]):
            again = source.read(p, position, 1)
            alike(rows([read]), rows([again]), f"{p!r} at {position}, read again")
            assert again.position == read.position, f"{p!r} at {position} now leads elsewhere"


def cuts_change_nothing(case: Case, tmp_path: Path) -> None:
    """However reading is cut into calls, the same readings and dead letters come."""
    wanted = everything(case.open(tmp_path))
    for limit in LIMITS[:-1]:
        source = case.open(tmp_path)
        for p, whole in wanted.items():
            alike(whole, rows(reads(source, p, limit=limit)), f"{p!r}, {limit} at a time")


def reading_on_gives_the_rest(case: Case, tmp_path: Path) -> None:
    """From a position in a checkpoint exactly what came after it is read again: from early and
    late ones, in the same process and in a new one, and nothing more from the end."""
    source = case.open(tmp_path)
    for p in source.partitions():
        pieces = list(reads(source, p, limit=3))
        last = len(pieces)
        for done in sorted({0, 1, last // 3, last // 2, 2 * last // 3, last}):
            position = pieces[done - 1].position if done else None
            for reader in (source, case.open(tmp_path)):
                rest = rows(reads(reader, p, position))
                alike(rows(pieces[done:]), rest, f"{p!r}, read on from {position}")


def offsets_never_fall(case: Case, tmp_path: Path) -> None:
    """Within a partition `offset` never falls."""
    for p, (readings, _) in everything(case.open(tmp_path)).items():
        offsets = [r["offset"] for r in readings]
        assert offsets == sorted(offsets), f"{p!r}: offsets fall, in {offsets[:20]}"


def ended_is_the_end(case: Case, tmp_path: Path) -> None:
    """`ended` says that nothing will ever follow: nothing does."""
    for limit in LIMITS:
        source = case.open(tmp_path)
        for p in source.partitions():
            for read in reads(source, p, limit=limit):
                if not read.ended:
                    continue
                after = source.read(p, read.position, limit)
                more = len(after.readings) + len(after.dead_letters)
                assert not more, f"{p!r} had ended at {read.position} and gave {more} more"


def unwanted_quantities_are_left_out(case: Case, tmp_path: Path) -> None:
    """Of quantities not asked for no reading comes; of the others every one."""
    wanted = everything(case.open(tmp_path))
    found = sorted({r["quantity"] for readings, _ in wanted.values() for r in readings})
    for asked in ([found[0]], []):
        source = case.open(tmp_path, asked)
        for p, (readings, _) in wanted.items():
            some = [r for r in readings if r["quantity"] in asked]
            came = rows(reads(source, p))[0]
            alike((some, []), (came, []), f"{p!r}, asked for {asked}")


def discover_names_every_series_once(case: Case, tmp_path: Path) -> None:
    """`discover` gives the series of all readings, each once; a source that cannot know them
    raises SourceError."""
    source = case.open(tmp_path)
    try:
        found = list(source.discover())
    except SourceError:
        return
    there = {
        Series(r["sensor"], r["quantity"])
        for readings, _ in everything(source).values()
        for r in readings
    }
    assert len(set(found)) == len(found), "a series comes twice"
    assert set(found) == there, f"discovered {sorted(found)}, the readings are of {sorted(there)}"


def poison_costs_only_itself(case: Case, tmp_path: Path) -> None:
    """A record that cannot be understood is a dead letter, with a reason and its place; every
    other record is read as if it were not there."""
    assert case.spoiled is not None
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    wanted = everything(case.open(tmp_path / "good"))
    source = case.spoiled(tmp_path / "bad")
    source.open(None)
    more = 0
    for p, spoiled in everything(source).items():
        lots = [[{**r, "offset": None} for r in of[0]] for of in (wanted[p], spoiled)]
        alike((lots[0], []), (lots[1], []), f"{p!r}, with poison")
        more += len(spoiled[1]) - len(wanted[p][1])
        for letter in spoiled[1]:
            assert letter["reason"], f"a dead letter has no reason: {letter}"
            assert letter["partition"] == p, f"{letter['partition']!r} is not {p!r}"
            assert letter["offset"] is not None, f"a dead letter has no offset: {letter}"
    assert more > 0, "the poison left no dead letter"


def close_may_never_be_called(case: Case, tmp_path: Path) -> None:
    """A process that dies closes nothing: the next one reads on all the same."""
    first = case.open(tmp_path)
    wanted = everything(case.open(tmp_path))
    for p in first.partitions():
        begun = first.read(p, None, 3)
        rest = reads(case.open(tmp_path), p, begun.position) if not begun.ended else ()
        alike(wanted[p], rows([begun, *rest]), f"{p!r}, after a life that closed nothing")


CHECKS = [
    reads_have_the_schema,
    partitions_keep_their_order,
    partitions_are_read_on_their_own,
    positions_are_json,
    the_same_position_gives_the_same,
    cuts_change_nothing,
    reading_on_gives_the_rest,
    offsets_never_fall,
    ended_is_the_end,
    unwanted_quantities_are_left_out,
    discover_names_every_series_once,
    poison_costs_only_itself,
    close_may_never_be_called,
]


def source(
    make: Callable[[Path], Source],
    spoiled: Callable[[Path], Source] | None = None,
    *,
    skip: Mapping[str, str] | None = None,
) -> type:
    """A pytest class that checks a source against its contract.

    make: a new, unopened source; asked again with the same folder, one of the same records. Some
    dozens of readings do, in two partitions and of two quantities where there can be. spoiled:
    the same, with records among them that cannot be understood; where there are none such, skip
    `poison_costs_only_itself` with that reason.
    """
    skip = skip or {}
    name = poison_costs_only_itself.__name__
    if spoiled is None and name not in skip:
        raise KitError(f"TestSource: {name} needs spoiled=, or a reason to skip it")
    return suite("TestSource", CHECKS, Case(make, spoiled), skip)
