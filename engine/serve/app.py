"""The addresses that are answered: the page, its data, health, figures for Prometheus."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable

from gapcast.engine.extras import extra
from gapcast.engine.serve.guard import Guard
from gapcast.engine.serve.live import Live
from gapcast.engine.serve.metrics import Metrics
from gapcast.engine.serve.page import POLICY, page
from gapcast.engine.serve.stream import MOST_STREAMS, Stream, dumps

with extra("serve"):
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route


class App:
    """Answers GET and HEAD, and nothing else; changes nothing. ended: whether the server ends."""

    def __init__(self, live: Live, ended: Callable[[], bool]) -> None:
        self.live = live
        self._ended = ended
        self._metrics = Metrics(live)
        self._page = page(live.name)
        self._streams = 0

    def guarded(self, port: int) -> Guard:
        """As an ASGI application, behind its guard."""
        return Guard(Starlette(routes=self._routes()), self.live.section, port)

    def _routes(self) -> list[Route]:
        answers = {
            "/": self.page,
            "/health": self.health,
            "/metrics": self.metrics,
            "/api/status": self.status,
            "/api/sensors": self.sensors,
            "/api/series": self.series,
            "/api/events": self.events,
        }
        return [Route(path, answer, methods=["GET"]) for path, answer in answers.items()]

    async def page(self, request: Request) -> Response:
        """The page; it loads nothing but its data from here."""
        return Response(
            self._page, media_type="text/html", headers={"content-security-policy": POLICY}
        )

    async def health(self, request: Request) -> Response:
        """200 while the run lives."""
        return PlainTextResponse("running\n" if self.live.running else f"{self.live.doing}\n")

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        accept = request.headers.get("accept", "")
        text, kind = await run_in_threadpool(self._metrics.text, accept)
        return Response(text, headers={"content-type": kind})

    async def status(self, request: Request) -> Response:
        """How the run is."""
        return _json(self.live.status())

    async def sensors(self, request: Request) -> Response:
        """Every target and its state."""
        return _json(self.live.sensors())

    async def series(self, request: Request) -> Response:
        """One target: ``?sensor=7&quantity=temperature``; of one ``&model=`` only; of steps that
        begin at ``&from=`` seconds since 1970 or later."""
        asked = request.query_params
        try:
            since = float(asked["from"]) if "from" in asked else None
        except ValueError:
            since = math.nan
        if since is not None and not abs(since) < 1e11:
            return PlainTextResponse("from: expected seconds since 1970\n", 400)
        sensor, quantity = asked.get("sensor", ""), asked.get("quantity", "")
        found = self.live.series(sensor, quantity, since, asked.get("model"))
        if found is None:
            return PlainTextResponse("no such target; /api/sensors has all of them\n", 404)
        return _json(found)

    async def events(self, request: Request) -> Response:
        """Events, once a second."""
        if self._streams >= MOST_STREAMS:
            return PlainTextResponse(f"{MOST_STREAMS} pages are open, which is the most\n", 503)
        stream = Stream(self.live, self._ended)

        async def counted() -> AsyncIterator[str]:
            self._streams += 1
            try:
                async for event in stream.events():
                    yield event
            finally:
                self._streams -= 1

        return StreamingResponse(counted(), media_type="text/event-stream")


def _json(data: object) -> Response:
    return Response(dumps(data), media_type="application/json")
