"""Who may be in readings: the series of the network, and those that have not joined it yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints, Series
from gapcast.engine.grid.columns import Columns
from gapcast.engine.grid.spec import GridSpec, aggregates
from gapcast.engine.network.names import encoded, numbers
from gapcast.engine.network.series import Network, natural


class Roster:
    """Numbers the series of readings, and knows how each is to be judged and aggregated.

    Numbers of the network's series are their columns. A series that it does not have and that may
    join it is a *newcomer* and gets the next number until it does. By number: `sensor`, `lowest`
    and `highest` (its limits), `how` and `period` (see `aggregates`), and `ahead`, how many µs
    before its time it is known; the last entry of that is for series that are unknown.
    """

    def __init__(
        self, network: Network, limits: Mapping[str, tuple[float, float]], spec: GridSpec
    ) -> None:
        self.network = network
        self.series: list[Series] = list(network.series)
        self._limits, self._spec = limits, spec
        self.sensor: Ints
        self.lowest: Floats
        self.highest: Floats
        self.ahead: Ints
        self.how: NDArray[np.int8]
        self.period: Floats
        self._know()

    @property
    def newcomers(self) -> list[Series]:
        """Series that have been read and have not joined, by their numbers."""
        return self.series[len(self.network.series) :]

    def of(self, sensor: pa.DictionaryArray, quantity: pa.DictionaryArray) -> Ints:
        """The number of each reading's series, -1 where it is unknown."""
        found = self._columns.of(sensor, quantity)
        if self.network.joining and (found < 0).any() and self._meet(sensor, quantity, found < 0):
            found = self._columns.of(sensor, quantity)
        return found

    def join(self, numbers: Ints) -> tuple[Network, Ints]:
        """Have newcomers join the network, in natural order; the grown network, and of each number
        the one that stands for it from now on."""
        series = self.series
        joining = sorted(numbers.tolist(), key=lambda n: (natural(series[n].sensor), series[n]))
        first = len(self.network.series)
        rest = [n for n in range(first, len(self.series)) if n not in {*joining}]
        order = [*range(first), *joining, *rest]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        self.network = self.network.grown([self.series[n] for n in joining])
        self.series = [self.series[n] for n in order]
        self._know()
        return self.network, place

    def restore(self, newcomers: Sequence[Sequence[str]]) -> None:
        """Go on with the `newcomers` that there were."""
        if newcomers:
            self.series = [*self.network.series, *(Series(*names) for names in newcomers)]
            self._know()

    def _meet(
        self, sensor: pa.DictionaryArray, quantity: pa.DictionaryArray, unknown: NDArray[np.bool_]
    ) -> bool:
        """Give numbers to the newcomers among readings of unknown series; whether there are any."""
        which = pa.array(unknown)
        names = pa.table({"sensor": sensor.filter(which), "quantity": quantity.filter(which)}).cast(
            pa.schema([("sensor", pa.string()), ("quantity", pa.string())])
        )
        new = [
            Series(**names)
            for names in names.group_by(["sensor", "quantity"], use_threads=False)
            .aggregate([])
            .to_pylist()
            if names["quantity"] in self.network.joining
        ]
        self.series += new
        if new:
            self._know()
        return bool(new)

    def _know(self) -> None:
        """Work out everything by number."""
        sensors, quantities = encoded(self.series)
        self._columns = Columns(sensors, quantities)
        self.sensor, of = numbers(sensors), numbers(quantities)
        names = quantities.dictionary.to_pylist()
        limits = [self._limits.get(name, (-np.inf, np.inf)) for name in names]
        self.lowest, self.highest = np.array(limits, float).reshape(-1, 2)[of].T.copy()
        self.ahead = np.zeros(len(of) + 1, np.int64)
        for series, steps in self.network.inputs.items():
            self.ahead[self.network.column[series]] = steps * self._spec.interval
        how, period = aggregates(self._spec.aggregate, names)
        self.how, self.period = how[of], period[of]
