"""Who may see a run: what comes before every answer."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from gapcast.engine.config.serving import LOOPBACK, Serve
from gapcast.engine.extras import extra

with extra("serve"):
    from starlette.datastructures import Headers
    from starlette.responses import PlainTextResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = (
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)
"""Headers of every answer."""


class Guard:
    """Lets requests through to `app` that may be answered.

    On loopback the Host header must name this machine: a page of another host whose name was made
    to point here cannot read anything. Where the config has a token, it must come as
    ``Authorization: Bearer``, or once as ``/?token=``, which is answered with a cookie that lasts
    as long as this process and is not the token.
    """

    def __init__(self, app: ASGIApp, section: Serve, port: int) -> None:
        self._app = app
        self._hosts = {*LOOPBACK, "[::1]"} if section.loopback else None
        self._token = section.token.get_secret_value() if section.token else None
        self._cookie = f"gapcast-{port}"
        self._pass = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        asked = self._asked(scope)
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            denied = PlainTextResponse("the Host header names another machine\n", 421)
            await denied(scope, receive, self._sending(send, None))
        elif self._token is not None and not (asked or self._known(headers)):
            denied = PlainTextResponse(
                "a token is needed: Authorization: Bearer TOKEN, or open /?token=TOKEN once\n",
                401, {"www-authenticate": "Bearer"},
            )  # fmt: skip
            await denied(scope, receive, self._sending(send, None))
        else:
            cookie = self._pass if asked else None
            await self._app(scope, receive, self._sending(send, cookie))

    def _asked(self, scope: Scope) -> bool:
        """Whether the page is asked for with the token in its address."""
        if self._token is None or scope["path"] != "/":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return _same(given[0], self._token)

    def _known(self, headers: Headers) -> bool:
        """Whether the token comes with a request, or the cookie that stands for it."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(given.strip(), self._token or ""):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self._pass)

    def _sending(self, send: Send, cookie: str | None) -> Send:
        """`send` with the headers of every answer, and the cookie where there is one to set."""
        more = [(name.encode(), value.encode()) for name, value in ALWAYS]
        if cookie is not None:
            value = f"{self._cookie}={cookie}; Path=/; HttpOnly; SameSite=Strict"
            more.append((b"set-cookie", value.encode()))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        return sending


def _same(given: str, wanted: str) -> bool:
    """In a time that does not say how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _host(header: str) -> str:
    """The host of a Host header, without its port."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdigit() else header).lower()
