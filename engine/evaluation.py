"""How models are judged: prequentially, or by blackouts in which truth is withheld from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, order=True)
class Span:
    """Steps [start, stop) in which truth is withheld."""

    start: int
    stop: int


@dataclass(frozen=True)
class Segment:
    """Part of a frame, [start, stop) in steps, that lies in one span or in none.

    opens, closes: whether the span begins with the first step, ends with the last one.
    """

    start: int
    stop: int
    hidden: bool = False
    opens: bool = False
    closes: bool = False


@dataclass(frozen=True)
class Evaluation:
    """What is hidden from whom, when, and what becomes of it.

    hide: ``each`` (a target's own truth, from its own models only), ``each-sensor`` (also the
    other quantities of its sensor) or ``together`` (all targets, from everyone).
    release: whether models learn the withheld truth, in order, when a span ends.
    spans: disjoint, ascending. Without spans every visible truth is scored (prequential).
    """

    hide: str = "each"
    release: bool = True
    spans: tuple[Span, ...] = ()

    @property
    def scored(self) -> str:
        """The status whose errors count."""
        return "hidden" if self.spans else "observed"

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


def spans_of(bounds: Sequence[tuple[int, int]], interval: int) -> tuple[Span, ...]:
    """Spans of steps whose start lies in [from, to); times in microseconds. Touching spans stay
    apart, so that each is released at its own end; overlapping ones raise ValueError."""
    spans = sorted(Span(-(-a // interval), -(-b // interval)) for a, b in bounds)
    for one, other in pairwise(spans):
        if other.start < one.stop:
            raise ValueError("spans overlap")
    return tuple(s for s in spans if s.stop > s.start)
