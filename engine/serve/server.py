"""The server: a socket taken before the run begins, and a thread beside it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gapcast.engine.config.serving import Serve
from gapcast.engine.errors import RunError
from gapcast.engine.extras import extra
from gapcast.engine.serve.app import App
from gapcast.engine.serve.live import Live

with extra("serve"):
    import uvicorn

PATIENCE = 1
"""Seconds that answers in progress have when the run ends."""


@contextmanager
def served(live: Live) -> Iterator[str]:
    """Answer for `live` while within; gives the address of the page.

    Raises RunError where its port cannot be had.
    """
    with listening(live.section) as taken:
        port = taken.getsockname()[1]
        server: uvicorn.Server | None = None
        app = App(live, lambda: server is not None and server.should_exit)
        settings = uvicorn.Config(
            app.guarded(port), log_config=None, access_log=False, lifespan="off", ws="none",
            loop="asyncio", http="h11", server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=PATIENCE, timeout_keep_alive=15, limit_concurrency=128,
            h11_max_incomplete_event_size=16_384,
        )  # fmt: skip
        server = uvicorn.Server(settings)
        run = threading.Thread(
            target=server.run, args=([taken],), name="gapcast-serve", daemon=True
        )
        run.start()
        host = live.section.host
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        finally:
            server.should_exit = True
            run.join(PATIENCE + 5)


@contextmanager
def listening(section: Serve) -> Iterator[socket.socket]:
    """The socket of a section."""
    host, port = section.host, section.port
    try:
        ((family, _, _, _, address), *_) = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        taken = socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror
        raise RunError(
            f"serve.port: {host}:{port} cannot be listened on: {why}; choose another one, or 0 for "
            "one that is free"
        ) from None
    with taken:
        yield taken
