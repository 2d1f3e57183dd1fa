"""A TCP proxy that delays, cuts and half-opens connections, each as a seed has it."""

from __future__ import annotations

import random
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

FAULTS = ("none", "delay", "cut", "reset", "half")
"""What may befall a connection after some bytes of the server's answers or the client's requests:
nothing, a pause, an end, a reset, or silence: it stays open and nothing passes any more."""


class Proxy:
    """Forwards connections to a port of loopback between ``with`` and its end.

    faults: how likely a connection has one at all. bytes: it strikes within so many.
    """

    def __init__(self, target: int, seed: int, faults: float = 0.6, within: int = 30_000) -> None:
        self._target, self._faults, self._within = target, faults, within
        self._random = random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.struck: list[str] = []
        """The faults that befell connections."""
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._threads[0].join()
        for end in self._open:
            _end(end)
        for thread in self._threads[1:]:
            thread.join()
        for end in self._open:
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._open += [client, server]
            kind = "none"
            if self._random.random() < self._faults:
                kind = self._random.choice(FAULTS[1:])
            side, after = self._random.randrange(2), self._random.randrange(self._within)
            for i, (source, sink) in enumerate(((client, server), (server, client))):
                budget = after if i == side and kind != "none" else None
                thread = threading.Thread(target=self._pump, args=(source, sink, kind, budget))
                self._threads.append(thread)
                thread.start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, kind: str, budget: int | None
    ) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if budget is not None and len(data) >= budget:
                    sink.sendall(data[:budget])
                    data = data[budget:]
                    budget = None
                    self.struck.append(kind)
                    if not self._strike(source, sink, kind):
                        return
                elif budget is not None:
                    budget -= len(data)
                sink.sendall(data)
        for end in (source, sink):
            _end(end)

    def _strike(self, source: socket.socket, sink: socket.socket, kind: str) -> bool:
        """Do what befalls the connection; whether it goes on."""
        if kind == "delay":
            self._ended.wait(0.05)
            return True
        if kind == "half":
            return False
        if kind == "reset":
            for end in (source, sink):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for end in (source, sink):
            _end(end)
        if kind == "reset":
            source.close()
            sink.close()
        return False


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
