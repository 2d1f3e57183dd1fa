"""Server-sent events: how the run is, at most once a second, and the sensors that changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np

from gapcast.engine.serve.live import Live
from gapcast.engine.serve.states import OK, STATES, States

EVERY = 1.0
"""Seconds between two events."""
MOST_CHANGES = 500
"""Sensors that one event tells of, at most; the others wait for the next one."""
MOST_STREAMS = 16
"""Pages that are told at once."""


class Stream:
    """Events for one page, until `ended` says that the server ends. Each tells the status and
    [number, state, arrived] of sensors that are not as this page was told last; it asks for all of
    them by itself when it begins."""

    def __init__(self, live: Live, ended: Callable[[], bool]) -> None:
        self._live = live
        self._ended = ended
        self._tap = live.tap
        self._told: States | None = live.tap.states() if live.tap else None

    async def events(self) -> AsyncIterator[str]:
        """Text of events."""
        while not self._ended():
            yield f"data: {dumps(self.event())}\n\n"
            for _ in range(10):
                await asyncio.sleep(EVERY / 10)
                if self._ended():
                    return

    def event(self) -> dict[str, Any]:
        """The next one."""
        if self._live.tap is not self._tap:  # another job goes on for the first one
            self._tap, self._told = self._live.tap, None
        return {"status": self._live.status(), "changed": self._changed()}

    def _changed(self) -> list[list[Any]]:
        if self._tap is None:
            return []
        now = self._tap.states()
        if self._told is None or len(self._told.state) != len(now.state):
            self._told = States(np.full_like(now.state, len(STATES)), np.zeros_like(now.arrived))
        state, arrived = self._told
        # While values come, that they do is all there is to tell.
        other = (state != now.state) | ((now.state != OK) & (arrived != now.arrived))
        which = np.flatnonzero(other)[:MOST_CHANGES]
        state[which], arrived[which] = now.state[which], now.arrived[which]
        moments = self._live.moments(now.arrived[which])
        return [list(of) for of in zip(which.tolist(), state[which].tolist(), moments, strict=True)]


def dumps(data: Any) -> str:
    """JSON in one line."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)
