"""Lines posted to InfluxDB, or to what speaks its protocol, and what the answers mean."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from requests import RequestException, Response

from gapcast.engine.errors import SinkError
from gapcast.plugins.sinks.bodies import Body
from gapcast.plugins.sinks.http import Http, Sent, Split

log = logging.getLogger("gapcast.sinks.influx")

_DROPPED = re.compile(r"dropped=(\d+)")
_ADVICE = {
    401: "check user and password, or token",
    403: "the user or token must have the right to write there",
    405: "is url that of InfluxDB?",
    407: "a proxy wants a password",
}


class Connections(Http):
    """Posts bodies to one database or bucket."""

    kind = "text/plain; charset=utf-8"

    def aim(self, path: str, query: Mapping[str, str]) -> None:
        """Post to this path from now on."""
        self._target = f"{path}?{urlencode(query)}"

    def check(self) -> None:
        """Raise SinkError if the server rejects us or what we write to; it may be down."""
        try:
            self._allowed(self._call("POST", self._target, b""))
        except RequestException as error:
            log.warning("%s", self._broken(error))
        finally:
            self.close()

    def _post(self, body: Body, sent: Sent) -> None:
        try:
            answer = self._call("POST", self._target, bytes(body.text))
        except RequestException as error:
            sent.reason = self._broken(error)
            sent.again.append(body)
            return
        self._allowed(answer)
        status = answer.status_code
        if status in (200, 204):
            sent.stored += len(body)
        elif status in (400, 413, 422):
            self._divide(body, answer, sent)
        else:
            sent.again.append(body)
            sent.reason = f"{self.url} answers {status} {answer.reason}: {_said(answer)}"

    def _divide(self, body: Body, answer: Response, sent: Sent) -> None:
        """Some points were rejected, or the body as a whole: which ones, halves will tell. Points
        that were stored are stored again, over themselves."""
        said = _said(answer)
        if answer.status_code == 413:
            self._most = min(self._most, len(body.text) // 2 + 1)
        dropped = _DROPPED.search(said)
        if len(body) > 1 and not (dropped and int(dropped[1]) == len(body)):
            raise Split
        reason = f"InfluxDB rejects it: {said}"
        sent.rejected += [(row, reason) for row in body.rows.tolist()]

    def _allowed(self, answer: Response) -> None:
        """Raise SinkError for an answer that repetition would not change."""
        status = answer.status_code
        if status == 404:
            raise SinkError(
                f"{self.url} answers 404: {_said(answer)}; make the database or bucket first, or "
                "correct url"
            )
        if status in _ADVICE:
            raise SinkError(f"{self.url} answers {status} {answer.reason}: {_ADVICE[status]}")
        if 300 <= status < 400:
            raise SinkError(f"{self.url} redirects elsewhere: set url to that address")


def _said(answer: Response) -> str:
    """What an answer says of an error, in one line: ``error`` of version 1, ``message`` of 2."""
    try:
        read = json.loads(answer.content)
        text = str(read.get("error") if "error" in read else read["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        text = answer.text
    line = " ".join(text.split()) or answer.reason
    return line if len(line) <= 400 else f"{line[:200]} ... {line[-200:]}"
