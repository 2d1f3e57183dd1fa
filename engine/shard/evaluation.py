"""How models are judged: prequentially, or by spans in which truth is withheld from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Series
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.shard.kernels import gaps as kernel


@dataclass(frozen=True, order=True)
class Span:
    """Steps [start, stop) in which truth is withheld, of the targets of `sensors`; None: of all."""

    start: int
    stop: int
    sensors: tuple[str, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Segment:
    """Part of a frame, [start, stop) in steps, that lies in one span or in none.

    opens, closes: whether the span begins with the first step, ends with the last one.
    """

    start: int
    stop: int
    withheld: bool = False
    opens: bool = False
    closes: bool = False


@dataclass(frozen=True)
class Gaps:
    """Random gaps: `share` of a target's steps in gaps of `shortest` to `longest` steps."""

    share: float
    shortest: int
    longest: int
    seed: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What is withheld from which models, when, and what becomes of it.

    hide: ``each`` (a target's own truth, from its own models only), ``each-sensor`` (also the
    other quantities of its sensor) or ``together`` (all targets, from everyone).
    release: whether models learn the withheld truth, in order, when a span ends.
    spans: disjoint, ascending. Without spans every visible truth is scored (prequential).
    sensors: whose targets are withheld within spans; None: all. gaps: withheld only in gaps within
    the spans, each target in gaps of its own; None: throughout.
    """

    hide: str = "each"
    release: bool = True
    spans: tuple[Span, ...] = ()
    sensors: tuple[str, ...] | None = None
    gaps: Gaps | None = None

    @property
    def scored(self) -> str:
        """The status whose errors count."""
        return "withheld" if self.spans else "observed"

    def span_at(self, step: int) -> Span:
        """The span that a withheld step lies in."""
        return next(s for s in self.spans if s.start <= step < s.stop)

    def withheld(self, series: Sequence[Series], span: Span) -> NDArray[np.bool_]:
        """(steps of the span, series) which cells are withheld, where all `series` are targets.

        What a series' gaps are depends on its name, the span and the seed alone.
        """
        found = np.ones((span.stop - span.start, len(series)), np.bool_)
        if self.gaps:
            g = self.gaps
            names = (f"{g.seed}/{span.start}/{s.sensor}/{s.quantity}".encode() for s in series)
            hashes = (int.from_bytes(blake2b(n, digest_size=8).digest()) for n in names)
            seeds = np.fromiter(hashes, np.uint64, len(series))
            kernel.gaps(seeds, g.share, g.shortest, g.longest, found)
        for sensors in (self.sensors, span.sensors):
            if sensors is None:
                continue
            some = set(sensors)
            found &= np.fromiter((s.sensor in some for s in series), np.bool_, len(series))
        return found

    def segments(self, start: int, stop: int) -> Iterator[Segment]:
        """Cut the steps [start, stop) where spans begin and end, in order."""
        for span in self.spans:
            if span.stop <= start or span.start >= stop:
                continue
            if start < span.start:
                yield Segment(start, span.start)
                start = span.start
            end = min(stop, span.stop)
            yield Segment(start, end, True, start == span.start, end == span.stop)
            start = end
        if start < stop:
            yield Segment(start, stop)


def spans_of(
    bounds: Sequence[tuple[int, int] | tuple[int, int, tuple[str, ...] | None]],
    grid: GridSpec,
) -> tuple[Span, ...]:
    """Spans of steps whose start lies in [from, to), perhaps of some sensors only; times in
    microseconds since 1970, UTC. Touching spans stay apart, so that each is released at
    its own end; overlapping ones raise ValueError."""
    spans = sorted(Span(grid.since(a), grid.since(b), *of) for a, b, *of in bounds)
    for one, other in pairwise(spans):
        if other.start < one.stop:
            raise ValueError("spans overlap")
    return tuple(s for s in spans if s.stop > s.start)
