"""From the names in readings to the columns of frames."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gapcast.engine.forecaster import Ints
from gapcast.engine.network.names import table


class Columns:
    """Finds the column of each reading's series; a batch's dictionaries are looked up once for all
    the batches that share them."""

    def __init__(self, sensors: pa.DictionaryArray, quantities: pa.DictionaryArray) -> None:
        """Of each column its sensor and its quantity."""
        self._known = [sensors.dictionary, quantities.dictionary]
        self._columns = table(sensors, quantities)
        self._looked_up: tuple[pa.Array, pa.Array] | None = None
        self._table: Ints

    def of(self, sensor: pa.DictionaryArray, quantity: pa.DictionaryArray) -> Ints:
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
        found: Ints = self._table[sensor.indices.to_numpy(), quantity.indices.to_numpy()]
        return found
