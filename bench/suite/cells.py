"""The cells of the table: one method on one set and pattern; what is found is kept."""

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
from suite.patterns import Mask, Part, patterns
from suite.scores import Errors, errors, told
from suite.sets import Network, read

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
    def key(self) -> str:
        """In the file of results."""
        return f"{self.network}/{self.pattern}/{self.name}"


class Kept:
    """Finished cells in a JSON file: what a rerun need not do again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        if path.exists():
            self.found = json.loads(path.read_text())["cells"]

    def has(self, cell: Cell, digest: str) -> bool:
        """Whether the cell is there, of the same data and the same section."""
        kept = self.found.get(cell.key)
        return kept is not None and (kept["data"], kept["section"]) == (
            digest,
            section(cell.method),
        )

    def add(self, cell: Cell, scores: dict[str, Any], facts: dict[str, str]) -> None:
        """Take in a cell and write the file anew."""
        self.found[cell.key] = scores
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": facts, "cells": self.found}, indent=1)
        beside = self.path.with_suffix(".part")
        beside.write_text(text)
        beside.replace(self.path)


def section(method: Peer | Ours) -> Any:
    """What of a method is not said by its name."""
    if isinstance(method, Peer):
        return method.kind
    return dict(method.section) | ({"screening": True} if method.screening else {})


def play(cell: Cell) -> dict[str, Any]:
    """The scores of a cell by kind of task, and the processor time it took in seconds.

    A peer that takes longer than `LIMIT` is left: its scores are `SLOW`; or else, why it failed.
    """
    network = read(cell.data, cell.network)
    if isinstance(cell.method, Ours):
        _warm(json.dumps(cell.method.section), network)
    about = {"data": network.digest, "section": section(cell.method)}
    found: dict[str, list[Errors]] = {}
    began = time.process_time()
    try:
        with _limited(LIMIT if isinstance(cell.method, Peer) else 0):
            for part in patterns(network)[cell.pattern]:
                for kind, of in _part(cell.method, network, part).items():
                    found.setdefault(kind, []).append(of)
    except TimeoutError:
        return about | {"scores": SLOW, "seconds": float(LIMIT)}
    except Exception as error:
        if isinstance(cell.method, Ours):
            raise
        return about | {"scores": f"failed: {error!r:.60}", "seconds": 0.0}
    seconds = time.process_time() - began
    return about | {"scores": {k: told(v) for k, v in found.items()}, "seconds": seconds}


_warmed: set[str] = set()


def _warm(section: str, network: Network) -> None:
    """Have the kernels of a model compiled, or read, before its time is taken."""
    if section not in _warmed:
        Ours(json.loads(section)).play(network.values[:30], network.interval, 3)
        _warmed.add(section)


def _part(method: Peer | Ours, network: Network, part: Part) -> dict[str, Errors]:
    columns, hidden = part
    truth = np.ascontiguousarray(network.values[:, columns])
    values = np.where(hidden, np.nan, truth)
    filled = method.play(values, network.interval, longest(values, hidden))
    spread, circle = network.spread[columns], network.circle[columns]
    return {kind: errors(of, truth, hidden, spread, circle) for kind, of in filled.items()}


def longest(values: np.ndarray, hidden: Mask) -> int:
    """Steps of the longest gap that has hidden cells, at least 1; at most twice the longest run of
    hidden ones, so that a sensor that died is not waited for."""
    gap, alone, most, own = (np.zeros(values.shape[1], int) for _ in range(4))
    touched = np.zeros(values.shape[1], bool)
    for row, out in zip(np.isnan(values), hidden, strict=True):
        gap, touched = np.where(row, gap + 1, 0), row & (touched | out)
        alone = np.where(out, alone + 1, 0)
        most, own = np.maximum(most, np.where(touched, gap, 0)), np.maximum(own, alone)
    return int(max(1, min(most.max(), 2 * own.max())))


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Raises TimeoutError after so many seconds of processor time; 0: never."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
