"""Replays a source into sinks for readings: the sender of a landscape. ``gapcast produce``."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from gapcast.engine.config import ProductionConfig
from gapcast.engine.errors import SinkError
from gapcast.engine.sink import AlreadyCommitted, Committed, JobInfo, Sink
from gapcast.engine.source import Position, Read, Source

BATCH = 65_536
"""Readings read, and handed to the sinks, at once."""
_JOB = JobInfo("produce", Path(), 0, (), 0, ())


@dataclass
class Produced:
    """What has been sent so far: readings that every sink has, records that could not be read,
    seconds since the first was asked for."""

    readings: int = 0
    invalid: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = self.readings / max(self.seconds, 1e-9)
        return (
            f"{self.readings:,} readings sent in {self.seconds:.1f} s ({rate:,.0f}/s), "
            f"{self.invalid:,} unreadable records left out"
        )


def produce(
    config: ProductionConfig, progress: Callable[[Produced], None] = lambda so_far: None
) -> Produced:
    """Send all that the source gives to every sink, in order of time across its partitions.

    progress: is told after each batch, and is the last to know when this raises. Raises
    `SourceError`, or SinkError as soon as a sink has not taken something.
    """
    source, so_far = config.source.create(), Produced()
    sinks = {name: chosen.create() for name, chosen in config.sinks.items()}
    source.open(None)
    try:
        for sink in sinks.values():
            sink.open(_JOB, uuid4().hex)
        began = time.monotonic()
        for number, read in enumerate(_ahead(_reads(source))):
            if len(read.readings):
                table = pa.Table.from_batches([read.readings])
                for name, sink in sinks.items():
                    _send(name, sink, number, table)
            so_far.readings += len(read.readings)
            so_far.invalid += len(read.dead_letters)
            so_far.seconds = time.monotonic() - began
            progress(so_far)
    finally:
        source.close()
        for sink in sinks.values():
            sink.close()
    return so_far


def _send(name: str, sink: Sink, number: int, table: pa.Table) -> None:
    outcome = sink.write(number, table)
    if not isinstance(outcome, Committed | AlreadyCommitted):
        reasons: Sequence[str] = getattr(outcome, "reasons", None) or [outcome.reason]  # type: ignore[union-attr]
        raise SinkError(f"sink {name!r} has not taken readings: {reasons[0]}")


def _reads(source: Source) -> Iterator[Read]:
    """All of the source, always on from the partition that is furthest behind in time."""
    positions: dict[str, Position | None] = dict.fromkeys(source.partitions())
    latest = dict.fromkeys(positions, -(1 << 63))
    while latest:
        name = min(latest, key=lambda n: latest[n])
        read = source.read(name, positions[name], BATCH)
        positions[name] = read.position
        if len(read.readings):
            latest[name] = read.readings["time"][len(read.readings) - 1].value
        if read.ended:
            del latest[name]
        yield read


def _ahead(reads: Iterator[Read]) -> Iterator[Read]:
    """The same, each read while the one before is dealt with."""
    with ThreadPoolExecutor(1, "gapcast-read") as reader:
        pending = reader.submit(next, reads, None)
        for _ in itertools.count():
            read = pending.result()
            if read is None:
                return
            pending = reader.submit(next, reads, None)
            yield read
