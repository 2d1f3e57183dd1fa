"""Bodies of points posted to OpenTSDB, and what its answers mean, point by point."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from requests import RequestException, Response

from gapcast.engine.errors import SinkError
from gapcast.plugins.sinks.bodies import Body
from gapcast.plugins.sinks.http import Http, Sent, Split, was_cut

log = logging.getLogger("gapcast.sinks.opentsdb")

_LEAST = 2048
"""Bodies that break connections are halved down to so many bytes; a tiny one is not the cause."""

_STORAGE = re.compile(r"(?i)storage exception|throttle|timeout|timed ?out|unexpected exception")
"""Reasons of OpenTSDB that lie in HBase, not in the point."""


class Connections(Http):
    """Posts bodies, each thread in a session of its own, which holds one connection."""

    kind = "application/json"

    def check(self) -> None:
        """Raise SinkError if the server must be rejected or rejects us; it may be down."""
        try:
            answer = self._call("GET", "/api/version")
            self._allowed(answer)
        except RequestException as error:
            log.warning("%s", self._broken(error))
        finally:
            self.close()

    def _post(self, body: Body, sent: Sent) -> None:
        try:
            answer = self._call("POST", "/api/put?details=true&sync=true", body.json())
        except RequestException as error:
            sent.reason = self._broken(error)
            cut = was_cut(error) and len(body) > 1 and len(body.text) > _LEAST
            sent.again += body.halves() if cut else [body]
            return
        self._allowed(answer)
        if answer.status_code == 204:
            sent.stored += len(body)
            return
        report = _read(answer)
        if type(report.get("success")) is int and type(report.get("failed")) is int:
            self._by_point(body, answer.status_code, report, sent)
        elif answer.status_code == 413 or (answer.status_code == 400 and "error" in report):
            self._as_a_whole(body, answer, report, sent)
        else:
            sent.again.append(body)
            sent.reason = f"{self.url} answers {_line(answer, report)}"

    def _by_point(self, body: Body, status: int, report: Mapping[str, Any], sent: Sent) -> None:
        """Read a report with counts and errors, which may come with any status."""
        errors = report.get("errors")
        reasons = [str(e.get("error")) for e in errors or () if isinstance(e, dict)]
        if report.get("timeouts") or any(re.search("(?i)timed ?out", r) for r in reasons):
            # after a point rejected, OpenTSDB names the wrong points as timed out
            sent.again.append(body)
            sent.reason = "writes timed out in OpenTSDB's storage"
            return
        failed = _failed(body, errors or ())
        whole = report["success"] + report["failed"] == len(body)
        if not whole or len(failed) != report["failed"]:
            if len(body) > 1:
                raise Split
            failed = {0: "no reason given"}
        later = [i for i, reason in failed.items() if status == 200 or _STORAGE.search(reason)]
        if later:
            sent.again.append(body.pick(later))
            sent.reason = f"{len(later)} points were not stored: {failed[later[0]]}"
        for i in failed.keys() - set(later):
            sent.rejected.append((int(body.rows[i]), f"OpenTSDB rejects {failed[i]}"))
        sent.stored += len(body) - len(failed)

    def _as_a_whole(
        self, body: Body, answer: Response, report: Mapping[str, Any], sent: Sent
    ) -> None:
        """A body too large, or one that OpenTSDB says it cannot read."""
        line = _line(answer, report)
        if len(body) == 1:
            sent.rejected.append((int(body.rows[0]), f"OpenTSDB rejects the point: {line}"))
            return
        if answer.status_code == 413 or "chunked" in line.lower():
            self._most = min(self._most, len(body.text) // 2 + 1)
            log.warning(
                "%s answers %s to %d bytes; bodies have at most %d from now on: raise "
                "tsd.http.request.max_chunk and set tsd.http.request.enable_chunked",
                self.url, line, len(body.text), self._most,
            )  # fmt: skip
        self._session.close()  # OpenTSDB may take the rest of the body for a request
        raise Split

    def _allowed(self, answer: Response) -> None:
        """Raise SinkError for an answer that repetition would not change."""
        status = answer.status_code
        advice = {401: "check user and password, or headers", 407: "a proxy wants a password"}
        advice[403] = advice[401]
        advice[404] = advice[405] = "is url that of an OpenTSDB of version 2 or later?"
        if status in advice:
            raise SinkError(f"{self.url} answers {status} {answer.reason}: {advice[status]}")
        if 300 <= status < 400:
            raise SinkError(
                f"{self.url} answers {status} {answer.reason}: "
                "set url to the address it redirects to"
            )


def _failed(body: Body, errors: Sequence[Any]) -> dict[int, str]:
    """Index and reason of each point of `body` that `errors` name."""
    places = {_key(p): i for i, p in enumerate(json.loads(body.json()))} if errors else {}
    found = {}
    for error in errors:
        try:
            place = places.get(_key(error["datapoint"]))
        except (KeyError, TypeError, AttributeError):
            place = None
        if place is not None:
            found[place] = f"{error['datapoint']['metric']}: {error.get('error')}"
    return found


def _key(point: Mapping[str, Any]) -> tuple[Any, ...]:
    return point["metric"], point["timestamp"], tuple(sorted(point["tags"].items()))


def _read(answer: Response) -> dict[str, Any]:
    """The JSON object of an answer; empty if it has none."""
    try:
        read = json.loads(answer.content)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _line(answer: Response, report: Mapping[str, Any]) -> str:
    """An answer in a few words."""
    error = report.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    kind = answer.headers.get("Content-Type", "no content type").partition(";")[0]
    detail = " ".join(str(said).split())[:200] if said else kind
    return f"{answer.status_code} {answer.reason}: {detail}"
