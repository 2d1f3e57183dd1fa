"""From names in dictionaries of Arrow to numbers of ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gapcast.engine.forecaster import Ints


class Codes:
    """Numbers of `names` by their places. A dictionary that came before is not read again."""

    def __init__(self, names: Sequence[str]) -> None:
        self._number = {name: i for i, name in enumerate(names)}
        self._dictionary: pa.Array | None = None
        self._of: Ints = np.zeros(0, np.int64)

    def of(self, dictionary: pa.Array) -> Ints:
        """The number of each name in a dictionary, -1 for other names."""
        if self._dictionary is None or not _same(self._dictionary, dictionary):
            names = dictionary.to_pylist()
            self._of = np.array([self._number.get(name, -1) for name in names], np.int64)
            self._dictionary = dictionary
        return self._of


def _same(one: pa.Array, other: pa.Array) -> bool:
    """Whether two arrays are in the same memory, or say the same; `one` is held meanwhile."""
    there = [[b.address if b else 0 for b in of.buffers()] for of in (one, other)]
    place = there[0] == there[1] and (one.offset, len(one)) == (other.offset, len(other))
    return place or bool(one.equals(other))
