"""Patterns of topics: which levels name the sensor and the quantity, and what is subscribed to."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from gapcast.engine.units import expecting

_NAMES = {"{sensor}": "sensor", "{quantity}": "quantity"}
_TOPICS = 1 << 16


class Names(NamedTuple):
    """What a topic names; None for what its pattern does not."""

    sensor: bytes | None
    quantity: bytes | None


class Pattern:
    """A topic in which ``{sensor}`` and ``{quantity}`` stand for a level each.

    ``+`` is any level, ``#`` at the end any number of them. filter: what is subscribed to. Raises
    PydanticCustomError when it is no such pattern.
    """

    def __init__(self, text: str) -> None:
        levels = text.split("/")
        for level in levels:
            if level not in (*_NAMES, "+") and re.search(r"[{}+#\0]", level) and level != "#":
                raise expecting(
                    "levels such as home, {sensor}, {quantity} or +, each whole, not " + repr(level)
                )
        if "#" in levels[:-1]:
            raise expecting("a topic with # as its last level only")
        if any(levels.count(name) > 1 for name in _NAMES):
            raise expecting("a topic with {sensor} and {quantity} once each at most")
        if levels[0] == "$share":
            raise expecting("a topic that is not shared: a run needs all of its messages")
        self.filter = "/".join("+" if level in _NAMES else level for level in levels)
        self.sensor, self.quantity = ("{sensor}" in levels), ("{quantity}" in levels)
        self._form = re.compile(_expression(levels), re.DOTALL)
        self.names = lru_cache(_TOPICS)(self._names)

    def _names(self, topic: bytes) -> Names | None:
        """What `topic` names, or None if it does not fit."""
        match = self._form.fullmatch(topic)
        if match is None:
            return None
        found = match.groupdict()
        return Names(found.get("sensor"), found.get("quantity"))


def _expression(levels: list[str]) -> bytes:
    """A regular expression for topics; ``a/#`` fits ``a`` too."""
    named = {shown: rf"(?P<{name}>[^/]*)" for shown, name in _NAMES.items()}
    made = [named.get(level, "[^/]*" if level == "+" else re.escape(level)) for level in levels]
    if levels[-1] != "#":
        return "/".join(made).encode()
    return ("/".join(made[:-1]) + "(?:/.*)?" if len(made) > 1 else ".*").encode()
