"""The cells of the table: one method on one set and pattern; what is found stays."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suite.methods import PEERS, Ours, Peer
from suite.patterns import FORECASTS, Mask, Part, digest, patterns
from suite.peers.ahead import hold
from suite.peers.naive import last, period
from suite.scores import Errors, errors, told
from suite.sets import Floats, Network, read

LIMIT = 60
"""Seconds of processor time that a peer may take for a cell."""
SLOW = "not run: slow"


@dataclass(frozen=True)
class Cell:
    """A method on a set and pattern. model: None for the peer of this name."""

    data: Path
    network: str
    pattern: str
    name: str
    model: Ours | None = None

    @property
    def method(self) -> Peer | Ours:
        """What is played."""
        return self.model or PEERS[self.name]

    @property
    def can(self) -> bool:
        """Whether the method does anything of the kind."""
        peer = self.method if isinstance(self.method, Peer) else None
        return peer is None or self.pattern != FORECASTS or peer.ahead is not None

    @property
    def key(self) -> str:
        """In the file of results."""
        return f"{self.network}/{self.pattern}/{self.name}"


class Results:
    """Finished cells in a JSON file: what a rerun need not do again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        if path.exists():
            self.found = json.loads(path.read_text())["cells"]

    def has(self, cell: Cell, data: str) -> bool:
        """Whether the cell is there, of the same data (`digest`) and the same section."""
        before = self.found.get(cell.key, {})
        about = data, section(cell.method)
        return (before.get("data"), before.get("section")) == about

    def add(self, cell: Cell, scores: dict[str, Any], facts: dict[str, str]) -> None:
        """Take in a cell and write the file anew."""
        self.found[cell.key] = scores
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps({"machine": facts, "cells": self.found}, indent=1))
        beside.replace(self.path)


def section(method: Peer | Ours) -> Any:
    """What of a method is not said by its name."""
    if isinstance(method, Peer):
        return method.kind
    return dict(method.section) | ({"screening": True} if method.screening else {})


def play(cell: Cell) -> dict[str, Any]:
    """The scores of a cell by task, and the processor time it took in seconds.

    A peer that is slow, fails or is not meant for so many series has words in place of scores.
    """
    network, method = read(cell.data, cell.network), cell.method
    parts = patterns(network)[cell.pattern]
    about = {"data": digest(network, parts), "section": section(method)}
    if isinstance(method, Ours):
        _warm(method, network)
        scores, seconds = _parts(method, network, cell.pattern, parts)
        return about | {"scores": scores, "seconds": seconds}
    if max(len(part.columns) for part in parts) > method.most:
        return about | {"scores": f"not run: above {method.most} series", "seconds": 0.0}
    try:
        with _limited(LIMIT):
            scores, seconds = _parts(method, network, cell.pattern, parts)
    except TimeoutError:
        return about | {"scores": SLOW, "seconds": float(LIMIT)}
    except Exception as error:
        return about | {"scores": f"failed: {error!r:.60}", "seconds": 0.0}
    return about | {"scores": scores, "seconds": seconds}


_warmed: set[str] = set()


def _warm(method: Ours, network: Network) -> None:
    """Have the kernels of a model compiled, or read, before its time is taken."""
    name = json.dumps(method.section)
    if name not in _warmed:
        _warmed.add(name)
        method.play(network.values[:30], network.interval, 3)


def _parts(
    method: Peer | Ours, network: Network, pattern: str, parts: list[Part]
) -> tuple[dict[str, Any], float]:
    found: dict[str, list[Errors]] = {}
    seconds, interval = 0.0, network.interval
    for columns, withheld in parts:
        truth = np.ascontiguousarray(network.values[:, columns])
        values = truth if pattern == FORECASTS else np.where(withheld, np.nan, truth)
        began = time.process_time()
        if pattern == FORECASTS:
            filled = method.forecast(values, interval)
        else:
            filled = method.play(values, interval, longest(values, withheld))
        seconds += time.process_time() - began
        held = hold(values, period(interval), 1) if pattern == FORECASTS else last(values)
        spread, circle = network.spread[columns], network.circle[columns]
        for task, of in filled.items():
            found.setdefault(task, []).append(errors(of, truth, withheld, held, spread, circle))
    return {task: told(of) for task, of in found.items()}, seconds


def longest(values: Floats, withheld: Mask) -> int:
    """Steps of the longest gap with withheld cells, at least 1; at most twice the longest run of
    these, so that a sensor that died is not waited for."""
    gap, alone = np.zeros((2, values.shape[1]), int)
    touched, most, own = np.zeros(values.shape[1], bool), 0, 0
    for missing, out in zip(np.isnan(values), withheld, strict=True):
        gap, touched = np.where(missing, gap + 1, 0), missing & (touched | out)
        alone = np.where(out, alone + 1, 0)
        most = max(most, int(np.where(touched, gap, 0).max()))
        own = max(own, int(alone.max()))
    return max(1, min(most, 2 * own))


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raises TimeoutError after so many seconds of processor time."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
