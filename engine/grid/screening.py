"""Screening: what a sensor says, held against its own past and against its neighbours.

On whole frames, as the grid closes them, so that verdicts depend neither on backends nor on how
readings were batched. What it does and on what its bounds were chosen is in ``docs/screening.md``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.grid.kernels import screening as kernel
from gapcast.engine.network.nearest import nearest
from gapcast.engine.network.series import Network
from gapcast.engine.sink import FLAGS

log = logging.getLogger("gapcast.screening")

DAY = 86_400_000_000
HOUR = DAY // 24
LOGGED = 5
"""So many sensors of a frame are named in the log, the others counted."""


@dataclass(frozen=True)
class ScreeningSpec:
    """What is looked for. Durations in microseconds, 0: never.

    outliers: whether single values are judged. stuck: for how long a constant value is borne while
    neighbours move; drift: one far from where neighbours put it. trust: after how long a sensor is
    believed again at another level. quantities: those looked at, None: all. reject: what of `FLAGS`
    is rejected where it is found; the rest is flagged, and used.
    inputs: whether inputs that are not known ahead are looked at, too.
    """

    outliers: bool = True
    stuck: int = 3 * HOUR
    drift: int = 3 * HOUR
    trust: int = DAY
    quantities: tuple[str, ...] | None = None
    reject: tuple[str, ...] = FLAGS
    inputs: bool = False


class Screener:
    """Judges the values of a network's series, step by step, in order.

    A step is judged from the steps before it and the same step's other series alone, so that
    cutting frames anywhere changes nothing. interval: of the grid, in µs. 27 numbers a series.
    """

    def __init__(self, network: Network, interval: int, how: ScreeningSpec) -> None:
        self.network = network
        self.interval = interval
        self._spec = how
        self._neighbours, self._columns = _neighbours(network, how)
        self._how = constants(interval, how)
        self._reject = np.array([False, *(flag in how.reject for flag in FLAGS)])
        none = np.empty((0, kernel.COLUMNS)), np.empty(0), np.empty(0, np.int64)
        self._begin(*none, len(network.series))

    def judge(self, first: int, values: Floats) -> Findings:
        """Judge the steps from `first` on, values (T, S): those to be rejected become NaN there.

        Logs where a sensor begins and ceases to be stuck or to drift.
        """
        found = kernel.screen(
            values, first, self._columns, self._rows, self._level, self._at, self._neighbours,
            self._how, self._now,
        )  # fmt: skip
        if len(found):
            self._tell(found)
        findings = Findings(found[found[:, 2] != kernel.BELIEVED], self.interval, self._reject)
        rejected = findings.rejected
        values[rejected.step, rejected.series] = np.nan
        return findings

    def grow(self, network: Network) -> None:
        """Go on with series that have joined behind the others: they are judged by what they show
        from now on. Who had fewer neighbours than there may be, gains some of them."""
        known, more = self._neighbours, len(network.series) - len(self.network.series)
        self.network = network
        found, self._columns = _neighbours(network, self._spec)
        self._neighbours = _behind(known, found)
        self._begin(self._rows, self._level, self._at, more)

    def _begin(self, rows: Floats, level: Floats, at: Ints, more: int) -> None:
        """What is known of series, and nothing of so many more."""
        self._rows = np.concatenate([rows, np.zeros((more, kernel.COLUMNS))])
        self._level = np.concatenate([level, np.zeros(more)])
        self._at = np.concatenate([at, np.full(more, -1, np.int64)])
        self._now = np.full(len(self._at), np.nan)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that changes, copied."""
        found: dict[str, NDArray[Any]] = {
            "rows": self._rows,
            "level": self._level,
            "at": self._at,
            "neighbours": self._neighbours,
        }
        return {name: a.copy() for name, a in found.items()}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from a `snapshot` of a screen of the first of the series."""
        rows, level, at = (arrays[name] for name in ("rows", "level", "at"))
        self._begin(rows, level, at, len(self.network.series) - len(at))
        if "neighbours" in arrays:
            self._neighbours = _behind(arrays["neighbours"], self._neighbours)

    def _tell(self, found: Floats) -> None:
        lasting = (found[:, 2] != kernel.OUTLIER) & (found[:, 4] > 0)
        for row in found[lasting][:LOGGED]:
            series = self.network.series[int(row[1])]
            rejected = self._reject[int(row[2] or row[8])]
            what = "believed again"
            if row[2] != kernel.BELIEVED:
                what = _reason(row, self.interval) + (": rejected" if rejected else ": flagged")
            level = logging.WARNING if rejected else logging.INFO
            log.log(level, "sensor %s, %s: %s", series.sensor, series.quantity, what)
        if lasting.sum() > LOGGED:
            log.info("and %d more began or stopped being suspected", lasting.sum() - LOGGED)


class Findings:
    """The values of a frame that are suspected, in order of step and series.

    step (n,) within the frame, series (n,), value (n,), flag (n,): an index into `FLAGS` plus one.
    reject: by flag, whether such values are rejected.
    """

    def __init__(self, found: Floats, interval: int, reject: NDArray[np.bool_]) -> None:
        self._found = found
        self._interval = interval
        self._reject = reject
        self.flag = found[:, 2].astype(np.uint8)
        self.step: Ints = found[:, 0].astype(np.int64)
        self.series: Ints = found[:, 1].astype(np.int64)
        self.value: Floats = found[:, 5]

    def __len__(self) -> int:
        return len(self._found)

    @property
    def rejected(self) -> Findings:
        """Those that are to be rejected."""
        return Findings(self._found[self._reject[self.flag]], self._interval, self._reject)

    def flags(self, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """(T, S) the flags of a frame; None where there are none."""
        if not len(self):
            return None
        flags = np.zeros(shape, np.uint8)
        flags[self.step, self.series] = self.flag
        return flags

    @property
    def reasons(self) -> list[str]:
        """Why each is not believed."""
        return [_reason(row, self._interval) for row in self._found]


REASONS = ("outlier", "stuck", "drifting away from its neighbours")
"""How reasons begin; what follows differs from value to value."""


def _reason(row: Floats, interval: int) -> str:
    _, _, kind, since, _, value, expected, tolerance, _ = row
    if kind == kernel.OUTLIER:
        return f"outlier: {value:.4g}, expected {expected:.4g} ± {tolerance:.2g}"
    moment = datetime.fromtimestamp(int(since) * interval / 1e6, UTC)
    text = REASONS[int(kind) - 1]
    text += f" at {value:.4g}" if kind == kernel.STUCK else ""
    return f"{text} since {moment:%Y-%m-%dT%H:%M:%SZ}"


def constants(interval: int, how: ScreeningSpec) -> Floats:
    """The kernel's constants for steps of `interval` µs: what is learnt fades within a day (what a
    step brings) and three days (distances), but not within fewer than 24 and 72 values."""
    day = DAY / interval
    found = np.zeros(10)
    found[kernel.ALPHA], found[kernel.BETA] = 1 / max(24, day), 1 / max(72, 3 * day)
    found[kernel.WARM] = found[kernel.SETTLED] = max(48, day)
    found[kernel.FRESH] = max(3, HOUR / interval)
    found[kernel.STUCK_FOR] = max(6, how.stuck / interval) if how.stuck else 0
    found[kernel.DRIFT_FOR] = max(6, how.drift / interval) if how.drift else 0
    found[kernel.TRUST] = max(12, how.trust / interval)
    found[kernel.OUTLIERS] = how.outliers
    lasting = {"stuck", "drift"} - {*how.reject}
    found[kernel.STRICT] = "outlier" in how.reject and bool(lasting)
    return found


def _behind(old: NDArray[np.int32], new: NDArray[np.int32]) -> NDArray[np.int32]:
    """(S, K) neighbours: the first series have their `old` ones, behind them those of `new` for
    which there is place."""
    found = new.copy()
    found[: len(old)] = old
    for s in np.flatnonzero((old < 0).any(axis=1)):
        known = old[s][old[s] >= 0]
        more = new[s][(new[s] >= 0) & ~np.isin(new[s], known)]
        both = np.concatenate([known, more])[: found.shape[1]]
        found[s] = -1
        found[s, : len(both)] = both
    return found


def _neighbours(network: Network, how: ScreeningSpec) -> tuple[NDArray[np.int32], Ints]:
    """(S, K) columns of each series' neighbours of the same quantity, and the columns screened:
    nearest by position where all are known, else those beside it in the network's order."""
    names = np.array([s.quantity for s in network.series], object)
    found = np.full((len(names), kernel.NEIGHBOURS), -1, np.int32)
    screened = np.zeros(len(names), bool)
    ahead = [network.inputs.get(s, -1) for s in network.series]
    looked_at = np.array([a < 0 or (how.inputs and a == 0) for a in ahead], bool)
    for quantity in {*names} if how.quantities is None else how.quantities:
        columns = np.flatnonzero((names == quantity) & looked_at)
        screened[columns] = True
        k = min(kernel.NEIGHBOURS, len(columns) - 1)
        if k < 1:
            continue
        sensors = [network.series[c].sensor for c in columns]
        if all(sensor in network.positions for sensor in sensors):
            places = nearest(np.array([network.positions[s] for s in sensors], float), k)
        else:
            n = np.arange(len(columns))
            low = np.clip(n - k // 2, 0, len(columns) - k - 1)[:, None]
            places = low + np.arange(k)
            places += places >= n[:, None]
        found[columns, :k] = np.where(places < 0, -1, columns[places])
    return found, np.flatnonzero(screened)
