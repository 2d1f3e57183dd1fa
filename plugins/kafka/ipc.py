"""What a stream of Arrow IPC messages unfolds to, from their headers alone.

A message's header is a flatbuffer (Message.fbs of Arrow's format). A compressed buffer begins with
its length when decompressed; Arrow reserves that much and decompresses no further.
"""

from __future__ import annotations

from struct import unpack_from

import pyarrow as pa

_HEADER, _KIND = 2, 1  # fields of Message
_DATA = 1  # of DictionaryBatch
_LENGTH, _NODES, _BUFFERS, _COMPRESSION = range(4)  # of RecordBatch
_DICTIONARY, _BATCH = 2, 3
_CELL = 16
"""Bytes that a cell costs, whatever its type: of some types cells need none in a stream."""


def unfolded(stream: bytes) -> int:
    """Bytes that the record batches and dictionaries of `stream` have when they are read, about.

    Raises pyarrow.ArrowException, OSError, ValueError or struct.error where it is no stream.
    """
    size = 0
    for message in pa.ipc.MessageReader.open_stream(stream):
        header, body = message.metadata.to_pybytes(), message.body
        root = unpack_from("<I", header)[0]
        kind = _field(header, root, _KIND)
        batch = _target(header, root, _HEADER)
        if kind and header[kind] == _DICTIONARY and batch:
            batch = _target(header, batch, _DATA)
        elif not kind or header[kind] != _BATCH:
            continue
        if batch:
            size += _of_batch(header, batch, body.to_pybytes() if body else b"")
    return size


def _of_batch(header: bytes, batch: int, body: bytes) -> int:
    """The size of one RecordBatch at `batch` in `header`."""
    compressed = _field(header, batch, _COMPRESSION)
    _, nodes = _vector(header, batch, _NODES)
    place = _field(header, batch, _LENGTH)
    size = abs(unpack_from("<q", header, place)[0]) * _CELL * max(1, nodes) if place else 0
    first, buffers = _vector(header, batch, _BUFFERS)
    for k in range(buffers):
        offset, length = unpack_from("<qq", header, first + 16 * k)
        if compressed and length > 0:
            (plain,) = unpack_from("<q", body, offset)
            length = length if plain < 0 else plain
        size += abs(length)
    return int(size)


def _field(header: bytes, table: int, number: int) -> int:
    """Where a field of the flatbuffers table at `table` stands, 0 if it is left out."""
    entries = table - unpack_from("<i", header, table)[0]
    if 4 + 2 * number >= unpack_from("<H", header, entries)[0]:
        return 0
    offset = unpack_from("<H", header, entries + 4 + 2 * number)[0]
    return int(table + offset) if offset else 0


def _target(header: bytes, table: int, number: int) -> int:
    """What a field points to, 0 if it is left out."""
    place = _field(header, table, number)
    return int(place + unpack_from("<I", header, place)[0]) if place else 0


def _vector(header: bytes, table: int, number: int) -> tuple[int, int]:
    """Where a vector's first element stands, and how many there are."""
    place = _target(header, table, number)
    return (place + 4, unpack_from("<I", header, place)[0]) if place else (0, 0)
