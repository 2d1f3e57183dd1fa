"""What Arrow arrays of any type hold: text as places in bytes, each value of a dictionary once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.plugins.sources.text.split import Bytes

_A = TypeVar("_A", bound=np.generic)
_B = TypeVar("_B", bound=np.generic)
Pair = tuple[NDArray[_A], NDArray[_B]]

_TEXT = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
)  # fmt: skip


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are text, or bytes that are taken as such."""
    return any(is_it(kind) for is_it in _TEXT)


def storage(column: pa.Array) -> pa.Array:
    """`column` without the meaning that an extension gives to its type."""
    return storage(column.storage) if isinstance(column, pa.ExtensionArray) else column


def once(column: pa.Array, read: Callable[[pa.Array], Pair[_A, _B]]) -> Pair[_A, _B]:
    """What `read` makes of `column`; of a dictionary, each of its values is read once."""
    if not pa.types.is_dictionary(column.type):
        return read(column)
    values = storage(column.dictionary)
    found, what = read(pa.concat_arrays([values, pa.nulls(1, values.type)]))
    places = pc.fill_null(column.indices.cast(pa.int64()), len(values)).to_numpy()
    return found[places], what[places]


def pieces(column: pa.Array) -> tuple[Bytes, NDArray[np.int32], NDArray[np.int32]]:
    """The bytes of a column of text, and where each value begins and ends; null is empty."""
    if not len(column):
        return np.zeros(1, np.uint8), np.empty(0, np.int32), np.empty(0, np.int32)
    column = column.cast(pa.binary())
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int32)[column.offset :][: len(column) + 1]
    text = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    ends = np.where(valid(column), places[1:], places[:-1]).astype(np.int32)
    return text if len(text) else np.zeros(1, np.uint8), places[:-1].copy(), ends


def valid(column: pa.Array) -> NDArray[np.bool_]:
    """(n,) which values are not null."""
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), np.bool_)


def utf8(column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Text, and which values are that: those that are null or not UTF-8 are empty."""
    raw = column.cast(pa.binary())
    try:
        return pc.fill_null(raw.cast(pa.string()), ""), valid(raw)
    except pa.ArrowInvalid:
        texts = [_text(value) for value in raw.to_pylist()]
        return pa.array([t or "" for t in texts], pa.string()), np.array(
            [t is not None for t in texts], np.bool_
        )


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
