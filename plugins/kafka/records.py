"""Records of one partition of a topic, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.readings import DEAD_LETTERS, RAW_LIMIT, READINGS, TIME, dead_letters, empty
from gapcast.plugins.sources.formats.rows import Raw, Rows, chunk

Ints = NDArray[np.int64]
NO_TIME = -1


@dataclass(frozen=True)
class Records:
    """Records that have a value, in the order of their offsets.

    partition: its name, ``topic-0``. keys: of each record, ``None`` for none. times: of each
    record, ms since 1970, `NO_TIME` for none. quantities: of each record, where its value does not
    say them.
    """

    partition: str
    values: list[bytes]
    offsets: Ints
    keys: list[bytes | None]
    times: Ints
    quantities: list[bytes | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    def part(self, places: slice | Ints) -> Records:
        """Some of the records."""
        if isinstance(places, slice):
            return Records(
                self.partition, self.values[places], self.offsets[places], self.keys[places],
                self.times[places], self.quantities[places],
            )  # fmt: skip
        chosen = places.tolist()
        return Records(
            self.partition,
            [self.values[i] for i in chosen],
            self.offsets[places],
            [self.keys[i] for i in chosen] if self.keys else [],
            self.times[places] if len(self.times) else self.times,
            [self.quantities[i] for i in chosen] if self.quantities else [],
        )


class Decoded(NamedTuple):
    """Schemas `READINGS` and `DEAD_LETTERS`."""

    readings: pa.RecordBatch
    dead_letters: pa.RecordBatch


def decoded(
    rows: Rows, of_row: Ints, records: Records, raw: Raw | None = None, shown: bool = False
) -> Decoded:
    """What `rows` are, each of which came from the record ``of_row[i]``.

    raw: where the rows stand in text. shown: dead letters hold the beginning of their record.
    """
    made = chunk(rows, records.partition, 0, raw)
    offsets = records.offsets[of_row]
    readings = _with(made.readings, "offset", offsets[made.lines])
    letters = _with(made.dead_letters, "offset", offsets[made.letter_lines])
    if shown:
        begins = [records.values[i][:RAW_LIMIT] for i in of_row[made.letter_lines]]
        letters = _with(letters, "raw", begins)
    return Decoded(readings, letters)


def _with(batch: pa.RecordBatch, name: str, values: Ints | list[bytes]) -> pa.RecordBatch:
    """`batch` with other values in one of its columns."""
    place, field = batch.schema.get_field_index(name), batch.schema.field(name)
    return batch.set_column(place, field, pa.array(values, field.type))


def poison(records: Records, reasons: Mapping[int, str]) -> Decoded:
    """Dead letters of records that give nothing, by their places among `records`."""
    if not reasons:
        return NOTHING
    places = sorted(reasons)
    letters = dead_letters(
        [reasons[i].encode(errors="replace").decode() for i in places],
        records.partition,
        records.offsets[places],
        sensor=names([records.keys[i] for i in places]) if records.keys else None,
        quantity=names([records.quantities[i] for i in places]) if records.quantities else None,
        raw=[records.values[i][:RAW_LIMIT] for i in places],
    )
    return Decoded(empty(READINGS), letters)


def joined(parts: Sequence[Decoded]) -> Decoded:
    """Parts in their order as one, each name once."""
    return Decoded(*(_one([part[k] for part in parts]) for k in (0, 1)))


def in_order(found: Decoded) -> Decoded:
    """`found` with its dead letters in the order of their records."""
    offsets = found.dead_letters["offset"].to_numpy()
    if np.all(offsets[:-1] <= offsets[1:]):
        return found
    order = pa.array(np.argsort(offsets, kind="stable"))
    return found._replace(dead_letters=found.dead_letters.take(order))


def _one(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    full = [b for b in batches if len(b)] or list(batches[:1])
    if len(full) == 1:
        return full[0]
    table = pa.Table.from_batches(full).unify_dictionaries().combine_chunks()
    (batch,) = table.to_batches()
    return batch


def names(keys: Sequence[bytes | None]) -> pa.Array:
    """Keys as names; null where there is none or it is not UTF-8."""
    try:
        return pa.array(keys, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_text(key) for key in keys], pa.string())


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def moments(times: Ints) -> pa.Array:
    """Times of records; null where there is none."""
    return pa.array(times * 1000, mask=times == NO_TIME).view(TIME)


NOTHING = Decoded(empty(READINGS), empty(DEAD_LETTERS))
