"""Values that are Arrow IPC streams: each is taken whole or not at all."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa

from gapcast.engine.errors import SourceError
from gapcast.plugins.kafka.decoders import TOO_MUCH, UNFOLDED, Columns, Decoder
from gapcast.plugins.kafka.ipc import unfolded
from gapcast.plugins.kafka.records import NOTHING, Decoded, Ints, Records, joined, poison

_FAR = 1 << 40
"""More than any record may unfold to, little enough for sums of it."""
_WRONG = (pa.ArrowException, OSError, ValueError, struct.error, KeyError)


class ArrowStreams(Decoder):
    """Values that are Arrow IPC streams, many readings each."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def sizes(self, records: Records) -> Ints:
        """See `Decoder.sizes`; nothing is decompressed for it."""
        return np.array([min(_size(value), _FAR) for value in records.values], np.int64)

    def made(self, records: Records) -> Decoded:
        """See `Decoder.made`."""
        found: list[tuple[int, pa.Table]] = []
        bad: dict[int, str] = {}
        for i, value in enumerate(records.values):
            try:
                found.append((i, self._read(value, records.partition)))
            except SourceError as error:
                bad[i] = str(error)
            except _WRONG as error:
                bad[i] = f"not an Arrow IPC stream: {str(error).partition(chr(10))[0]}"
        parts = [
            self._alike(list(group), records)
            for _, group in groupby(found, lambda item: item[1].schema)
        ]
        return joined([*parts, poison(records, bad)]) if parts or bad else NOTHING

    def _read(self, value: bytes, where: str) -> pa.Table:
        """The columns of a stream that are read. Raises SourceError if some are not there."""
        with pa.ipc.open_stream(value) as stream:
            found = stream.read_all()
        table = found.select(self._columns.own(found.schema.names, where))
        table.validate(full=True)  # its offsets and indices come from another party
        if sum(map(_length, table.columns)) > UNFOLDED:
            raise SourceError(TOO_MUCH)
        return table

    def _alike(self, found: Sequence[tuple[int, pa.Table]], records: Records) -> Decoded:
        """The readings of tables of one schema; one by one if they cannot be read together."""
        sizes = [len(piece) for _, piece in found]
        of_row = np.repeat(np.array([i for i, _ in found], np.int64), sizes)
        try:
            table = pa.concat_tables([t for _, t in found]).combine_chunks()
            batches = table.to_batches()
            return self._columns.decode(batches[0], of_row, records) if batches else NOTHING
        except (SourceError, *_WRONG) as error:
            if len(found) == 1:
                return poison(records, {found[0][0]: str(error).partition("\n")[0]})
            return joined([self._alike([one], records) for one in found])


def _size(value: bytes) -> int:
    try:
        return unfolded(value)
    except (*_WRONG, IndexError):
        return len(value)  # Arrow will say what is wrong


def _length(column: pa.ChunkedArray) -> int:
    """Bytes of text in a column of views, of which many may be of the same bytes."""
    if not (pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type)):
        return 0
    views = [np.frombuffer(c.buffers()[1] or b"", np.int32)[::4] for c in column.chunks]
    return sum(int(lengths.astype(np.int64).sum()) for lengths in views)
