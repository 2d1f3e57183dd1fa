"""What the log has warned of lately, secrets masked."""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

from gapcast.engine.redaction import mask
from gapcast.engine.spelling import printable

MOST, LONGEST = 50, 500
"""Warnings that are kept, and characters of each."""


class Notice(NamedTuple):
    """A line of the log: when, in seconds since 1970; warning, error or critical; what."""

    moment: float
    level: str
    text: str


class Notices(logging.Handler):
    """Keeps the newest warnings and errors of gapcast, and counts all of them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: deque[Notice] = deque(maxlen=MOST)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        try:
            text = mask(printable(record.getMessage()))
        except Exception:
            return self.handleError(record)
        text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        self.kept.append(Notice(record.created, record.levelname.lower(), text))
        self.count += 1
        return None

    def __enter__(self) -> Notices:
        logging.getLogger("gapcast").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("gapcast").removeHandler(self)
