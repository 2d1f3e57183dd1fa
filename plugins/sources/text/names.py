"""Names in a column of text to numbers, each different name once, without a Python object each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.uncounted import njit_part
from gapcast.plugins.sources.text.split import Bytes, Fields

LONGEST = 255
"""Bytes of a name; what is longer is no name of a sensor or a quantity."""

_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619


class Names(NamedTuple):
    """Names in the rows of a table: (n,) their numbers, -1 for none, and the names (string)."""

    ids: NDArray[np.int32]
    found: pa.Array

    @classmethod
    def none(cls, n: int) -> Names:
        """Of n rows without names."""
        return cls(np.full(n, -1, np.int32), pa.array([], pa.string()))


def names(fields: Fields, slot: int, skip: NDArray[np.int8]) -> tuple[NDArray[np.int32], pa.Array]:
    """The number of each line's name, and the names by their numbers (string).

    A line has the number -1 if `skip` is not 0 there or the field is absent, empty, longer than
    `LONGEST` or not UTF-8.
    """
    n = len(skip)
    ids = np.empty(n, np.int32)
    first = np.empty(n, np.int64)
    table = np.full(1 << max(4, int(2 * n - 1).bit_length()), -1, np.int32)
    count = _intern(fields.text, fields.starts, fields.ends, slot, skip, ids, first, table)
    rows = first[:count]
    found = gather(fields.text, fields.starts[rows, slot], fields.ends[rows, slot])
    try:
        return ids, found.cast(pa.string())
    except pa.ArrowInvalid:
        return _decoded(ids, found)


def unquoted(found: pa.Array) -> pa.Array:
    """Names as written between quotes, where a quote is doubled."""
    return pc.replace_substring(found, '""', '"')


def _decoded(ids: NDArray[np.int32], found: pa.Array) -> tuple[NDArray[np.int32], pa.Array]:
    texts = [name.decode(errors="replace") for name in found.to_pylist()]
    broken = np.array(
        [text.encode() != raw for text, raw in zip(texts, found.to_pylist(), strict=True)]
    )
    ids[(ids >= 0) & broken[ids]] = -1
    return ids, pa.array(texts, pa.string())


def gather(text: Bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> pa.Array:
    """The pieces ``text[starts[i]:ends[i]]`` as binary; together less than 2 GiB."""
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(ends - starts, out=offsets[1:])
    data = np.empty(offsets[-1], np.uint8)
    _gather(text, np.ascontiguousarray(starts), offsets, data)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(starts), buffers)


def joined(fields: Fields, slots: list[int]) -> tuple[Bytes, NDArray[np.int32], NDArray[np.int32]]:
    """Text in which fields of a line, if they are several, stand together with a space between
    them: it, and where each line's begin and end."""
    if len(slots) == 1:
        return fields.text, fields.starts[:, slots[0]].copy(), fields.ends[:, slots[0]].copy()
    pieces = []
    for slot in slots:
        starts = np.maximum(fields.starts[:, slot], 0)
        pieces.append(gather(fields.text, starts, np.maximum(fields.ends[:, slot], starts)))
    _, offsets, data = pc.binary_join_element_wise(*pieces, b" ").buffers()
    places = np.frombuffer(offsets, np.int32)[: len(fields.counts) + 1]
    text = np.frombuffer(data, np.uint8) if data else np.zeros(1, np.uint8)
    return text, places[:-1].copy(), places[1:].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(text, starts, offsets, data):
    for i in range(starts.size):
        for k in range(offsets[i + 1] - offsets[i]):
            data[offsets[i] + k] = text[starts[i] + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _intern(text, starts, ends, slot, skip, ids, first, table):
    """Number the names as they first appear (open addressing); returns how many there are."""
    count = 0
    mask = table.size - 1
    for i in range(skip.size):
        a = starts[i, slot]
        b = ends[i, slot]
        ids[i] = -1
        if skip[i] != 0 or a < 0 or a == b or b - a > LONGEST:
            continue
        place = _hash(text, a, b) & mask
        while table[place] >= 0:
            known = first[table[place]]
            if _same(text, a, b, starts[known, slot], ends[known, slot]):
                break
            place = (place + 1) & mask
        if table[place] < 0:
            table[place] = count
            first[count] = i
            count += 1
        ids[i] = table[place]
    return count


@njit_part
def _hash(text, a, b):
    value = np.uint64(_FNV_OFFSET)
    for k in range(a, b):
        value = ((value ^ np.uint64(text[k])) * np.uint64(_FNV_PRIME)) & np.uint64(0xFFFFFFFF)
    return np.int64(value)


@njit_part
def _same(text, a, b, c, d):
    k = 0
    while k < min(b - a, d - c) and text[a + k] == text[c + k]:
        k += 1
    return b - a == d - c and k == b - a
