"""A double of OpenTSDB that speaks the contract of its ``/api/put``, the ugly parts included."""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from gapcast.plugins.sinks.opentsdb_points import unescape

Point = dict[str, Any]

MOODS = (
    "honest", "silent", "busy", "html", "login", "storage", "unlisted", "timeouts", "unreadable",
    "empty", "slow", "cut", "reset", "gone",
)  # fmt: skip
"""How one request may be answered; see the methods of these names."""


class Tsd:
    """Serves on loopback between ``with`` and its end.

    moods: one for each put, in order of arrival; then ``honest``. rejects: says of a point why
    the daemon finds it illegal, or None. limit: bytes of a body it takes, `over` being what it
    does with more: ``413``, ``chunked`` (400) or ``close``. token: Authorization it insists on.
    """

    def __init__(
        self,
        moods: Iterable[str] = (),
        rejects: Callable[[Point], str | None] = lambda point: None,
        seed: int = 0,
        limit: int = 1 << 20,
        over: str = "413",
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        late: float = 1.0,
    ) -> None:
        self.stored: dict[tuple[str, int, tuple[tuple[str, str], ...]], str] = {}
        self.puts: list[tuple[str, int]] = []
        """Mood and number of points of each put, in order of arrival."""
        self.moods, self.rejects, self.late = iter(moods), rejects, late
        self.limit, self.over, self.token = limit, over, token
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        tsd = self

        class Handler(_Handler):
            """Knows its daemon."""

            owner = tsd

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def series(self, metric: str) -> dict[tuple[str, ...], dict[int, float]]:
        """The points of a metric: by its tags' values, by timestamp."""
        found: dict[tuple[str, ...], dict[int, float]] = {}
        for (name, moment, tags), value in self.stored.items():
            if name == metric:
                of = tuple(unescape(v) for _, v in tags)
                found.setdefault(of, {})[moment] = float(value)
        return found

    def keep(self, points: Iterable[Point]) -> None:
        """Store points as the daemon does; one stored before must come in the same width."""
        with self.lock:
            for point in points:
                value = str(point["value"])
                assert re.search(r"[.eE]", value), "an integer's width depends on its value"
                tags = tuple(sorted(point["tags"].items()))
                self.stored[point["metric"], point["timestamp"], tags] = value

    def illegal(self, point: Point) -> str | None:
        """Why the daemon rejects a point, as `Tags.validateString` and `TSDB.addPoint` do."""
        for part in (point["metric"], *point["tags"], *point["tags"].values()):
            if not re.fullmatch(r"[A-Za-z0-9\-_./]+", part):
                return f'Invalid name ("{part}"): illegal character'
        if not 0 < point["timestamp"] <= 9_999_999_999_999:
            return "Invalid timestamp"
        if point["value"].lower().strip("+-") in ("nan", "infinity"):
            return "Unable to parse value to a number"
        return self.rejects(point)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that reject us or hang up are what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    owner: Tsd
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        if self._known():
            self._say(200, {"version": "2.4.1"})

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        if size > self.owner.limit and self.owner.over == "close":
            return self._reset()
        raw = self.rfile.read(size)
        if not self._known():
            return None
        if size > self.owner.limit:
            with self.owner.lock:
                self.owner.puts.append(("large", 0))
            if self.owner.over == "chunked":
                return self._error(400, "Chunked request not supported.")
            return self._error(413, "Request Entity Too Large")
        if self.headers["Content-Encoding"] == "gzip":
            raw = gzip.decompress(raw)
        assert "details" in self.path
        assert "sync" in self.path
        points = json.loads(raw, parse_float=str, parse_int=int)
        with self.owner.lock:
            mood = next(self.owner.moods, "honest")
            self.owner.puts.append((mood, len(points)))
        with suppress(ConnectionError):
            getattr(self, mood)(points)
        return None

    def honest(self, points: list[Point], extra: dict[str, Any] | None = None) -> None:
        """200 if all is stored, 400 with counts and errors if some are illegal."""
        good, errors = self._judged(points)
        self.owner.keep(good)
        counts = {"success": len(good), "failed": len(errors), "errors": errors}
        self._say(400 if errors else 200, {**counts, **(extra or {})})

    def silent(self, points: list[Point]) -> None:
        """204, as without details; some say so even when asked."""
        good, errors = self._judged(points)
        if errors:
            return self.honest(points)
        self.owner.keep(good)
        self.send_response(204)
        self.end_headers()
        return None

    def busy(self, points: list[Point]) -> None:
        """503 with JSON; some may have been stored nevertheless."""
        self.owner.keep(self._some(points))
        self._error(503, "Please try again later")

    def html(self, points: list[Point]) -> None:
        """A gateway's page."""
        self.owner.keep(self._some(points))
        self._say(502, b"<html>Bad gateway</html>")

    def login(self, points: list[Point]) -> None:
        """200, but not from a TSD."""
        self._say(200, b"<html>Please log in</html>")

    def storage(self, points: list[Point]) -> None:
        """200 although storage failed for some; 400 if others are illegal, too."""
        good, errors = self._judged(points)
        kept = self._some(good)
        lost = [p for p in good if p not in kept]
        self.owner.keep(kept)
        errors += [{"datapoint": p, "error": "Storage exception: null"} for p in lost]
        counts = {"success": len(kept), "failed": len(errors), "errors": errors}
        self._say(400 if len(errors) > len(lost) else 200, counts)

    def unlisted(self, points: list[Point]) -> None:
        """Counts without the errors they count."""
        good, errors = self._judged(points)
        self.owner.keep(good)
        counts = {"success": len(good), "failed": len(errors), "errors": []}
        self._say(400 if errors else 200, counts)

    def timeouts(self, points: list[Point]) -> None:
        """400 of sync_timeout, which names the wrong points: those of the same rank in the body."""
        good, errors = self._judged(points)
        kept = self._some(good)
        self.owner.keep(kept)
        late = [points[i] for i, p in enumerate(good) if p not in kept]
        errors += [{"datapoint": p, "error": "Write timedout"} for p in late]
        failed = len(points) - len(good)
        self._say(
            400, {"success": len(kept), "failed": failed, "timeouts": len(late), "errors": errors}
        )

    def unreadable(self, points: list[Point]) -> None:
        """400 for the body as a whole; nothing is stored."""
        self._error(400, "Unable to parse the given JSON")

    def empty(self, points: list[Point]) -> None:
        """200 and no word."""
        self._say(200, b"")

    def slow(self, points: list[Point]) -> None:
        """Stores all it may, answers too late."""
        good, _ = self._judged(points)
        self.owner.keep(good)
        time.sleep(self.owner.late)
        self.honest(points)

    def cut(self, points: list[Point]) -> None:
        """Ends in the middle of the answer."""
        self.owner.keep(self._some(self._judged(points)[0]))
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"success":')
        self.close_connection = True

    def reset(self, points: list[Point]) -> None:
        """A reset in the middle of the answer."""
        self.owner.keep(self._some(self._judged(points)[0]))
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"success":1,')
        self._reset()

    def gone(self, points: list[Point]) -> None:
        """Hangs up without a word."""
        self.owner.keep(self._some(self._judged(points)[0]))
        self.close_connection = True

    def _judged(self, points: list[Point]) -> tuple[list[Point], list[Point]]:
        why = [(p, self.owner.illegal(p)) for p in points]
        good = [p for p, reason in why if reason is None]
        return good, [{"datapoint": p, "error": reason} for p, reason in why if reason]

    def _some(self, points: list[Point]) -> list[Point]:
        return [p for p in points if self.owner.random.random() < 0.5 and not self.owner.illegal(p)]

    def _known(self) -> bool:
        if self.owner.token in (None, self.headers["Authorization"]):
            return True
        self._error(401, "Unauthorized")
        self.close_connection = True
        return False

    def _error(self, code: int, message: str) -> None:
        self._say(code, {"error": {"code": code, "message": message, "trace": "net.opentsdb\n"}})

    def _say(self, status: int, content: dict[str, Any] | bytes) -> None:
        plain = isinstance(content, bytes)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if plain else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Closes so that the client sees a reset."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
