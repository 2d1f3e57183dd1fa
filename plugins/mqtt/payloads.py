"""What messages hold: JSON objects, as the Kafka source reads them, or a number each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gapcast.plugins.kafka.decoders import Columns, Decoder
from gapcast.plugins.kafka.records import NOTHING, Decoded, Records, joined, poison
from gapcast.plugins.mqtt.journal import Message
from gapcast.plugins.mqtt.topic import Names, Pattern

_MISSING = {b"nan", b"na", b"null"}
"""Payloads, in lower case, that report a value as missing."""


class Numbers(Decoder):
    """Values that are a decimal number each; nan, NA and null report one as missing."""

    def __init__(self, columns: Columns) -> None:
        """columns: sensor, quantity and time are all beside the value."""
        self._columns = columns

    def made(self, records: Records) -> Decoded:
        """See `Decoder.made`."""
        if not len(records):
            return NOTHING
        stripped = [value.strip() for value in records.values]
        texts = [None if text.lower() in _MISSING else text for text in stripped]
        bad: dict[int, str] = {}
        numbers = pa.concat_arrays(_numbers(texts, 0, bad))
        good = np.array([i for i in range(len(texts)) if i not in bad], np.int64)
        batch = pa.record_batch({self._columns.options.value: numbers.take(pa.array(good))})
        return joined([self._decode(batch, records.part(good)), poison(records, bad)])

    def _decode(self, batch: pa.RecordBatch, records: Records) -> Decoded:
        columns, of_row = self._columns, np.arange(len(records))
        for name in columns.beside:
            batch = batch.append_column(name, columns.column(name, batch, of_row, records))
        return columns.decode(batch, of_row, records) if len(records) else NOTHING


def _numbers(texts: Sequence[bytes | None], first: int, bad: dict[int, str]) -> list[pa.Array]:
    """The numbers, null for what is none; what is in `bad` are places from `first` on. As many at
    once as Arrow can read, so that how they were cut changes nothing."""
    try:
        return [pa.array(texts, pa.binary()).cast(pa.string()).cast(pa.float64())]
    except pa.ArrowInvalid:
        if len(texts) == 1:
            bad[first] = "not a number"
            return [pa.nulls(1, pa.float64())]
    half = len(texts) // 2
    return [*_numbers(texts[:half], first, bad), *_numbers(texts[half:], first + half, bad)]


class Payloads:
    """Messages of one topic to readings. Empty ones, which clear what a broker retains, and those
    whose topic names a quantity that is not among the `wanted` give nothing."""

    def __init__(
        self, topic: str, pattern: Pattern, wanted: frozenset[str] | None, decoder: Decoder
    ) -> None:
        self._topic, self._pattern, self._decoder = topic, pattern, decoder
        self._wanted = None if wanted is None else {name.encode() for name in wanted}

    def decode(self, found: Sequence[tuple[int, Message]]) -> Decoded:
        """Readings and dead letters, in the order of the messages, whose addresses are offsets."""
        fit, names, strange = [], list[Names](), []
        for at, message in found:
            named = self._pattern.names(message.topic)
            if not message.payload:
                continue
            if named is None:
                strange.append((at, message))
            elif self._asked(named):
                fit.append((at, message))
                names.append(named)
        records = self._records(fit, [m.payload for _, m in fit], names)
        others = self._records(strange, [m.topic for _, m in strange])
        reasons = dict.fromkeys(range(len(strange)), "topic does not fit")
        readings, letters = joined([self._decoder.decode(records), poison(others, reasons)])
        order = np.argsort(letters["offset"].to_numpy(), kind="stable")
        return Decoded(readings, letters.take(pa.array(order)))

    def _asked(self, named: Names) -> bool:
        return self._wanted is None or named.quantity is None or named.quantity in self._wanted

    def _records(
        self,
        found: Sequence[tuple[int, Message]],
        values: list[bytes],
        names: Sequence[Names] = (),
    ) -> Records:
        return Records(
            self._topic,
            values,
            np.array([at for at, _ in found], np.int64),
            [n.sensor for n in names] if self._pattern.sensor else [],
            np.array([m.time for _, m in found], np.int64),
            [n.quantity for n in names] if self._pattern.quantity else [],
        )
