"""Every check of the kit of sources catches the source it was written for."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.plugin import Params
from gapcast.engine.readings import DEAD_LETTERS, READINGS, empty
from gapcast.engine.source import Read, Source
from gapcast.engine.testing import source
from gapcast.engine.testing.kit import KitError
from gapcast.engine.testing.source import CHECKS

HOUR = 3_600_000_000
LENGTH = 20


class Good(Source):
    """Two partitions of numbered records, one of them broken: right in every way."""

    def __init__(self, folder, spoiled=False):
        super().__init__(Params())
        self.folder, self.spoiled = folder, spoiled

    def open(self, quantities):
        self.wanted = quantities

    def partitions(self):
        return ["a", "b"]

    def discover(self):
        return [Series(p, q) for p in self.partitions() for q in ("humidity", "temperature")]

    def records(self, partition):
        """(number, time, quantity, value), and None where there is no telling."""
        whole = [
            (i, i // 2 * HOUR, ("humidity", "temperature")[i % 2], None if i == 5 else i / 7)
            for i in range(LENGTH)
        ]
        whole.insert(9, None)
        return [None, *whole[:3], None, *whole[3:]] if self.spoiled else whole

    def read(self, partition, position, limit):
        at = position["at"] if position else 0
        return self.give(partition, at, at + limit)

    def give(self, partition, start, stop):
        records = self.records(partition)
        stop = min(stop, len(records))
        some = list(enumerate(records))[start:stop]
        rows = [
            {"time": r[1], "sensor": partition, "quantity": r[2], "value": r[3], "offset": i}
            for i, r in some
            if r and (self.wanted is None or r[2] in self.wanted)
        ]
        letters = [
            {"reason": "broken", "partition": partition, "offset": i} for i, r in some if not r
        ]
        return Read(
            pa.RecordBatch.from_pylist(rows, schema=READINGS),
            pa.RecordBatch.from_pylist(letters, schema=DEAD_LETTERS),
            {"at": stop},
            stop == len(records),
        )


class Live(Good):
    """Never ends, cannot be discovered: right as well."""

    def discover(self):
        raise SourceError("a topic does not know")

    def give(self, partition, start, stop):
        read = super().give(partition, start, stop)
        return Read(read.readings, read.dead_letters, read.position)


class NotANumber(Good):
    def give(self, partition, start, stop):
        read = super().give(partition, start, stop)
        values = read.readings["value"].fill_null(np.nan)
        columns = [values if f.name == "value" else read.readings[f.name] for f in READINGS]
        return Read(
            pa.record_batch(columns, READINGS), read.dead_letters, read.position, read.ended
        )


class OtherSchema(Good):
    def give(self, partition, start, stop):
        read = super().give(partition, start, stop)
        return Read(
            read.readings.drop_columns("offset"), read.dead_letters, read.position, read.ended
        )


class Shuffles(Good):
    calls = itertools.count()

    def partitions(self):
        return ["a", "b"] if next(Shuffles.calls) % 2 else ["b", "a"]


class OnePlaceForAll(Good):
    at = 0

    def read(self, partition, position, limit):
        read = self.give(partition, self.at, self.at + limit)
        self.at = 0 if read.ended else read.position["at"]
        return read


class TuplePositions(Good):
    def give(self, partition, start, stop):
        read = super().give(partition, start, stop)
        return Read(read.readings, read.dead_letters, {**read.position, "in": (1, 2)}, read.ended)


class KnowsItsPositions(Good):
    known = ()

    def read(self, partition, position, limit):
        if position and position["at"] not in self.known:
            position = None
        read = super().read(partition, position, limit)
        self.known = (*self.known, read.position["at"])
        return read


class ReadsOnFromItsOwn(Good):
    """Keeps its own place as a consumer group does."""

    def open(self, quantities):
        super().open(quantities)
        self.at = {}

    def read(self, partition, position, limit):
        at = max(self.at.get(partition, 0), position["at"] if position else 0)
        read = self.give(partition, at, at + limit)
        self.at[partition] = read.position["at"]
        return read


class LosesTheLast(Good):
    """Leaves out the last reading of a call that gives many."""

    def read(self, partition, position, limit):
        read = super().read(partition, position, limit)
        short = len(read.readings) - (1 < len(read.readings) < 5)
        return Read(read.readings[:short], read.dead_letters, read.position, read.ended)


class GoesOnFromABlock(Good):
    """Begins, when a process goes on, at the block of four records in which the position lies."""

    def open(self, quantities):
        super().open(quantities)
        self.begun = set()

    def read(self, partition, position, limit):
        at = position["at"] if position else 0
        if partition not in self.begun:
            self.begun.add(partition)
            at -= at % 4
        return self.give(partition, at, at + limit)


class OffsetsOfSensors(Good):
    def give(self, partition, start, stop):
        read = super().give(partition, start, stop)
        rows = [{**r, "offset": r["offset"] % 4} for r in read.readings.to_pylist()]
        readings = pa.RecordBatch.from_pylist(rows, schema=READINGS)
        return Read(readings, read.dead_letters, read.position, read.ended)


class EndsEarly(Good):
    def read(self, partition, position, limit):
        read = super().read(partition, position, limit)
        return Read(
            read.readings, read.dead_letters, read.position, read.position["at"] >= LENGTH - 2
        )


class GivesAll(Good):
    def open(self, quantities):
        self.wanted = None


class DiscoversTwice(Good):
    def discover(self):
        return [*super().discover(), Series("a", "humidity")]


class DiscoversLess(Good):
    def discover(self):
        return list(super().discover())[1:]


class PoisonTakesItsNeighbour(Good):
    def records(self, partition):
        records = super().records(partition)
        if self.spoiled:
            records[1] = None
        return records


class PoisonInSilence(Good):
    def give(self, partition, start, stop):
        read = super().give(partition, start, stop)
        letters = empty(DEAD_LETTERS) if self.spoiled else read.dead_letters
        return Read(read.readings, letters, read.position, read.ended)


class LocksUntilClose(Good):
    def open(self, quantities):
        super().open(quantities)
        lock = self.folder / "lock"
        if lock.exists():
            raise SourceError("someone reads already")
        lock.touch()


DEFECTS = {
    "reads_have_the_schema": {NotANumber: "a value is NaN", OtherSchema: "time: timestamp"},
    "partitions_keep_their_order": {Shuffles: "the order is another"},
    "partitions_are_read_on_their_own": {
        OnePlaceForAll: "read in turn with the others: 11 readings"
    },
    "positions_are_json": {
        TuplePositions: "comes back as",
        KnowsItsPositions: "gone on from .*: 21 readings",
    },
    "the_same_position_gives_the_same": {ReadsOnFromItsOwn: "read again: 0 readings"},
    "cuts_change_nothing": {LosesTheLast: "3 at a time: 13 readings"},
    "reading_on_gives_the_rest": {GoesOnFromABlock: "read on from .*: 20 readings"},
    "offsets_never_fall": {OffsetsOfSensors: "offsets fall"},
    "ended_is_the_end": {EndsEarly: "had ended at .* and gave 1 more"},
    "unwanted_quantities_are_left_out": {GivesAll: "20 readings, 10 were expected"},
    "discover_names_every_series_once": {
        DiscoversTwice: "a series comes twice",
        DiscoversLess: "discovered",
    },
    "poison_costs_only_itself": {
        PoisonTakesItsNeighbour: "with poison: 19 readings",
        PoisonInSilence: "the poison left no dead letter",
    },
    "close_may_never_be_called": {LocksUntilClose: "someone reads already"},
}


def spoiled(cls):
    return lambda folder: cls(folder, spoiled=True)


@pytest.mark.parametrize(
    ("check", "bad"), [(c, bad) for c, wrong in DEFECTS.items() for bad in wrong]
)
def test_source_check_catches(check, bad, tmp_path):
    run = getattr(source(bad, spoiled(bad))(), f"test_{check}")
    with pytest.raises((AssertionError, SourceError), match=DEFECTS[check][bad]):
        run(tmp_path)


def test_every_source_check_has_its_defect():
    assert list(DEFECTS) == [check.__name__ for check in CHECKS]


def test_poison_is_asked_for():
    with pytest.raises(KitError, match="poison_costs_only_itself needs spoiled="):
        source(Good)


TestGood = source(Good, spoiled(Good))
TestLive = source(Live, spoiled(Live))
