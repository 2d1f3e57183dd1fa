"""Bodies of points posted to OpenTSDB, and what its answers mean, point by point."""

from __future__ import annotations

import gzip
import json
import logging
import re
import ssl
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from requests import RequestException, Response, Session
from requests.exceptions import ReadTimeout

from gapcast.engine.errors import SinkError
from gapcast.plugins.sinks.opentsdb_points import Body

log = logging.getLogger("gapcast.sinks.opentsdb")

_LEAST = 2048
"""Bodies that break connections are halved down to so many bytes; a tiny one is not the cause."""

_STORAGE = re.compile(r"(?i)storage exception|throttle|timeout|timed ?out|unexpected exception")
"""Reasons of OpenTSDB that lie in HBase, not in the point."""


@dataclass
class Sent:
    """What became of a body: each of its points is in exactly one of the three.

    again: what was not confirmed, `reason` saying why.
    """

    stored: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    again: list[Body] = field(default_factory=list)
    reason: str = ""


class _Split(Exception):
    """The answer is about the body as a whole: halves will tell more."""


class Connections:
    """Posts bodies, each thread in a session of its own, which holds one connection."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        ca: Path | None,
        seconds: float,
        compress: bool,
    ) -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json", **headers}
        if compress:
            self._headers = {"Content-Encoding": "gzip", **self._headers}
        self._verify: str | bool = str(ca) if ca else True
        try:
            ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise SinkError(f"ca: {ca} cannot be read: {error.strerror or error}") from None
        self._seconds = seconds
        self._compress = compress
        self._threads = threading.local()
        self._open: list[Session] = []
        self._most = 1 << 62

    def check(self) -> None:
        """Raise SinkError if the server must be rejected or rejects us; it may be down."""
        try:
            answer = self._call("GET", "/api/version")
            self._allowed(answer)
        except RequestException as error:
            log.warning("%s", self._broken(error))
        finally:
            self.close()

    def post(self, body: Body) -> Sent:
        """Post the points of `body`, in several posts if need be.

        Raises SinkError where no repetition could help: a certificate that does not hold, a
        password rejected, an address that is not OpenTSDB's.
        """
        sent = Sent()
        waiting = deque([body])
        while waiting and not sent.again:
            one = waiting.popleft()
            if len(one.text) > self._most and len(one) > 1:
                waiting.extendleft(reversed(one.halves()))
                continue
            try:
                self._post(one, sent)
            except _Split:
                waiting.extendleft(reversed(one.halves()))
        sent.again += waiting
        return sent

    def close(self) -> None:
        """Close every connection."""
        for session in self._open:
            session.close()

    @property
    def _session(self) -> Session:
        """This thread's own. Closed, it connects anew with the next request."""
        known: Session | None = getattr(self._threads, "session", None)
        if known is None:
            known = Session()
            known.trust_env = False  # a .netrc or a proxy of the environment is nobody's wish here
            known.verify = self._verify
            known.headers.update(self._headers)
            self._threads.session = known
            self._open.append(known)
        return known

    def _call(self, method: str, path: str, content: bytes | None = None) -> Response:
        session = self._session
        try:
            return session.request(
                method,
                self.url + path,
                data=content,
                timeout=(self._seconds, self._seconds),
                allow_redirects=False,
            )
        except (RequestException, OSError):
            session.close()
            raise

    def _post(self, body: Body, sent: Sent) -> None:
        content = body.json()
        if self._compress:
            content = gzip.compress(content, 1)
        try:
            answer = self._call("POST", "/api/put?details=true&sync=true", content)
        except RequestException as error:
            sent.reason = self._broken(error)
            cut = _was_cut(error) and len(body) > 1 and len(body.text) > _LEAST
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
                raise _Split
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
        raise _Split

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

    def _broken(self, error: RequestException) -> str:
        """Why there is no answer. Raises SinkError if the certificate does not hold."""
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise SinkError(
                    f"{self.url}: its certificate is rejected: {cause.verify_message}; "
                    "name the authority that signed it in ca, or mend the certificate"
                ) from None
            if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
                raise SinkError(f"{self.url} does not speak TLS; is it http://?") from None
        if isinstance(error, ValueError):  # requests' own of a URL or a header that cannot be sent
            raise SinkError(f"{self.url}: not sent: {type(error).__name__}") from None
        if isinstance(error, ReadTimeout):
            return f"{self.url} gave no answer for {self._seconds:g} s"
        last = next((c for c in reversed(causes) if isinstance(c, OSError)), error)
        said = last.strerror if isinstance(last, OSError) and last.strerror else type(last).__name__
        return f"{self.url} cannot be reached: {said}"


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


def _was_cut(error: BaseException) -> bool:
    """Whether a connection broke that had been made: the way OpenTSDB drops a body too large."""
    kinds = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
    return any(isinstance(cause, kinds) for cause in _causes(error))


def _causes(error: BaseException | None) -> Any:
    """An error and what it was raised from or carries."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            carried = [a for a in one.args if isinstance(a, BaseException)]
            waiting += [one.__context__, one.__cause__, getattr(one, "reason", None), *carried]
