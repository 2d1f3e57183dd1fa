"""Logging: one line an event on stderr, ``time level logger: message key=value``.

Modules log with the standard library, ``log = logging.getLogger("gapcast.grid")``, and give what
may be searched for as ``extra``: ``log.info("partition idle", extra={"partition": "0"})``.
Secrets that came from a config are shown as their placeholders.
"""

from __future__ import annotations

import logging
import time

from gapcast.engine.redaction import mask
from gapcast.engine.spelling import printable

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """One line a record, times in UTC, control characters and quotes escaped, secrets masked."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`; a traceback, if it has one, follows on lines of its own."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        message = printable(record.getMessage())
        fields = [f"{k}={_value(v)}" for k, v in vars(record).items() if k not in _PLAIN]
        start = f"{moment}.{record.msecs:03.0f}Z {record.levelname.lower()} {record.name}:"
        line = " ".join([start, message, *fields])
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return mask(line)


def _value(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(text) & set(' "=') else repr(text)


def configure(verbosity: int = 0) -> None:
    """Log to stderr: warnings, from 1 on gapcast's information, from 2 on its details.

    Other packages' loggers show their warnings, whatever the verbosity. Calling it again
    replaces what the call before set up.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gapcast").setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
