"""From the names in readings to the columns of frames."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.network.series import Network


class Columns:
    """Finds the column of each reading's series; a batch's dictionaries are looked up once for all
    the batches that share them."""

    def __init__(self, network: Network) -> None:
        self.series = network.series
        names = [sorted(set(of)) for of in zip(*network.series, strict=True)] or [[], []]
        self._known = [pa.array(of, pa.string()) for of in names]
        self._columns = self._all(network, *names)
        self._looked_up: tuple[pa.Array, pa.Array] | None = None
        self._table: NDArray[np.int64]

    def of(self, sensor: pa.DictionaryArray, quantity: pa.DictionaryArray) -> NDArray[np.int64]:
        """Column of each reading's series, -1 where it is unknown."""
        names = (sensor.dictionary, quantity.dictionary)
        if self._looked_up is None or not all(map(pa.Array.equals, self._looked_up, names)):
            places = (
                pc.index_in(a, value_set=known) for a, known in zip(names, self._known, strict=True)
            )
            sensors, quantities = (p.fill_null(-1).to_numpy(zero_copy_only=False) for p in places)
            # What is not known has index -1, which is the last row or column: all of it -1.
            self._table = self._columns[np.ix_(sensors, quantities)]
            self._looked_up = names
        found: NDArray[np.int64] = self._table[
            sensor.indices.to_numpy(), quantity.indices.to_numpy()
        ]
        return found

    @staticmethod
    def _all(network: Network, sensors: list[str], quantities: list[str]) -> NDArray[np.int64]:
        """(sensors + 1, quantities + 1) column of each known sensor's quantity, or -1."""
        row, place = ({n: i for i, n in enumerate(of)} for of in (sensors, quantities))
        columns = np.full((len(row) + 1, len(place) + 1), -1, np.int64)
        for series, column in network.column.items():
            columns[row[series.sensor], place[series.quantity]] = column
        return columns
