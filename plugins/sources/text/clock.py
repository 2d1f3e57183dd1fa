"""Local times of a zone to UTC, those of the days in which clocks are changed too."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.zones import HOUR, Ints, Rules, rules
from gapcast.plugins.sources.text.names import Names
from gapcast.plugins.sources.text.passes import Passes

log = logging.getLogger("gapcast.files")

_ORDER = (
    "records of the hour that comes twice are told apart by their order: where a series goes back "
    "in it, its other pass begins"
)
_ONE = (
    "of the hour that comes twice some series have one pass only, which is taken as the first (of "
    "a file that begins with the newest, the second); give times in UTC or with their offset to be "
    "sure"
)
_FIRST = (
    "of the hour that comes twice always the first pass is meant, as these records have no order; "
    "give times in UTC or with their offset"
)


class Clock:
    """Turns local times in `zone` into UTC.

    Of a time that comes twice the first is meant. After `follow`, it is told by the order of the
    rows that are given, which are those of a file (see `passes`). What was taken for what is told
    once for each zone and day.
    """

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.since: Ints | None = None
        """Of the rows given last, what `Passes.passed` says; None if clocks have no rules."""
        self._passes: Passes | None = None

    def follow(self, first: int) -> None:
        """Begin to see the order of rows, the next of which has the number `first`."""
        self._passes = Passes(first)

    def pass_over(self, n: int) -> None:
        """Pass over n rows that hold no time."""
        nothing = Names.none(n)
        self.utc(np.zeros(n, np.int64), np.zeros(n, np.bool_), nothing, nothing)

    def utc(
        self, times: Ints, local: NDArray[np.bool_], sensor: Names, quantity: Names
    ) -> tuple[Ints, NDArray[np.bool_]]:
        """(n,) times with those that are `local` in UTC; and which are on no clock, and left."""
        never = np.zeros(len(times), np.bool_)
        if self.zone == "UTC":
            return times, never
        rows = near = np.flatnonzero(local)
        if len(rows):
            shown = times[rows]
            rule = rules(self.zone, shown)
            never[rows] = _within(shown, rule.never)
            found = shown - rule.offset(shown)
            near = self._passed(rule, shown, found, rows, sensor, quantity)
            times = times.copy()
            times[rows] = np.where(never[rows], shown, found)
        if self._passes:
            self.since = self._passes.passed(near, len(times))
        return times, never

    def end(self) -> None:
        """Say which hours a file ended in."""
        if self._passes:
            _tell_days(self.zone, self._passes.only() - 1, _ONE)

    def _passed(
        self, rule: Rules, shown: Ints, found: Ints, rows: Ints, sensor: Names, quantity: Names
    ) -> Ints:
        """Move what is `found` of a second pass to where it belongs. Rows near to such an hour."""
        if self._passes is None:
            _tell_days(self.zone, shown[_within(shown, rule.twice)], _FIRST)
            return rows[:0]
        near, which = self._passes.near(shown, rule.twice)
        if len(near):
            hour = rule.twice[which]
            seen = self._passes.look(shown[near], hour, rows[near], sensor, quantity)
            found[near] += np.where(seen.second, hour[:, 1] - hour[:, 0], 0)
            _tell_days(self.zone, shown[near][seen.second], _ORDER)
            _tell_days(self.zone, hour[seen.alone, 1] - 1, _ONE)
        return rows[near]


def _within(local: Ints, spans: Ints) -> NDArray[np.bool_]:
    """Which times lie in one of the spans, which are in order and apart."""
    if not len(spans):
        return np.zeros(len(local), np.bool_)
    which = np.searchsorted(spans[:, 1], local, "right")
    known = which < len(spans)
    return known & (local >= spans[np.where(known, which, 0), 0])


def _tell_days(zone: str, local: Ints, what: str) -> None:
    for day in np.unique(local // (24 * HOUR)).tolist():
        _tell(zone, day, what)


@cache
def _tell(zone: str, day: int, what: str) -> None:
    date = datetime(1970, 1, 1) + timedelta(days=day)
    log.warning("%s: clocks are set back on %s: %s (source.timezone)", zone, f"{date:%F}", what)
