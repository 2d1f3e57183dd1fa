"""How a run is getting on: the same few figures on every backend."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

EVERY = 1.0
"""Seconds between two reports."""


@dataclass(frozen=True)
class Progress:
    """A run at one moment.

    readings: read so far. rate: readings a second since the last report. watermark: event time
    that every partition has reached, in µs since 1970, or None before the first reading. lag: by
    how many seconds it is behind the clock. forecasts: rows delivered. shards; workers alive, and
    how many there should be.
    """

    readings: int = 0
    rate: float = 0.0
    watermark: int | None = None
    lag: float | None = None
    forecasts: int = 0
    shards: int = 0
    alive: int = 0
    workers: int = 0
    used: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    invalid: int = 0
    steps: int = 0
    epochs: int = 0
    checkpoint: tuple[float, float] | None = None
    moment: float = 0.0

    def __str__(self) -> str:
        if self.watermark is None:
            at = "nothing read yet"
        else:
            at = f"at {datetime.fromtimestamp(self.watermark / 1e6, UTC):%Y-%m-%d %H:%M}"
            if self.lag is not None and self.lag < 86_400:
                at += f", {self.lag:,.0f} s behind"
        return (
            f"{at}, {self.readings:,} readings ({self.rate:,.0f}/s), {self.forecasts:,} forecasts, "
            f"{self.shards} shards on {self.alive}/{self.workers} workers"
        )


class Meter:
    """Says when a report is due and keeps the rate since the one before."""

    def __init__(self, readings: int) -> None:
        self._readings = readings
        self._since = time.monotonic()

    def due(self) -> bool:
        """Whether the last report is old."""
        return time.monotonic() - self._since >= EVERY

    def rate(self, readings: int) -> float:
        """Readings a second since the last report; begins the next one."""
        now = time.monotonic()
        rate = (readings - self._readings) / max(now - self._since, 1e-9)
        self._readings, self._since = readings, now
        return rate
