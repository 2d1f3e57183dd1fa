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

    def of(self, column: pa.DictionaryArray) -> Ints:
        """The number of each value of a column without nulls, -1 for other names."""
        if self._dictionary is None or not self._dictionary.equals(column.dictionary):
            names = column.dictionary.to_pylist()
            self._of = np.array([self._number.get(name, -1) for name in names], np.int64)
            self._dictionary = column.dictionary
        found: Ints = self._of[column.indices.to_numpy(zero_copy_only=False)]
        return found
