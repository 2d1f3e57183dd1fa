"""What the sinks `files` and `hdfs` share: Parquet files by day, each epoch whole or not at all."""

from __future__ import annotations

import errno
import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any, BinaryIO, ClassVar
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.errors import SinkError
from gapcast.engine.sink import (
    AlreadyCommitted,
    Committable,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    ParallelSink,
    Part,
    Retry,
    SinkPart,
    is_ahead,
)
from gapcast.engine.storage import Folder
from gapcast.plugins.sinks import staging
from gapcast.plugins.sinks.parts import DAYS, due, parts, superseded
from gapcast.plugins.sinks.parts import Part as File
from gapcast.plugins.sinks.staging import STAGED, Day

log = logging.getLogger("gapcast.sinks")

DAY = 86_400_000_000
NAMES = [
    "time", "sensor", "quantity", "model", "horizon", "status", "gap_age", "regressors", "experts",
    "flag", "made",
]  # fmt: skip
"""Columns that are stored with a dictionary."""
FINAL = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors that another try cannot help."""
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
FULL = 60.0
"""Seconds for which there may be no space before the run ends."""


class ParquetParams(plugin.Params):
    """Parameters of both."""

    rows: int = Field(
        default=2_000_000, ge=1, description="Most rows of a file; a million are about 30 MB."
    )
    compact: bool = Field(
        default=True,
        description="Merge small files of a day, some while it grows and the rest when it is over.",
    )


class ParquetSink(ParallelSink):
    """Writes ``day=2004-03-01/part-00000012-00000012-000400000.parquet``, epochs 12 to 12.

    Final rows go to one folder, which so holds one row a key, and rows ahead to another one, each
    to the day of its time. Shards put theirs into ``_staged/`` of both first, under names that no
    reader takes for Parquet; a commit moves those of an epoch into their places.

    An epoch counts once the note ``_epochs/GENERATION-00000013``, of the epoch that comes next, has
    taken the place of the one before, beside the final rows; the files of the epoch are whole by
    then, in both folders. What a crash left of an epoch without a note is removed when the sink
    opens, and the same epoch puts the same files under the same names, so that a folder read as one
    dataset holds every row once.

    Compaction (see `parts`) puts the merged file first and removes those it supersedes next. In
    that moment, and in no other, both are there. A crash in it loses and repeats nothing: what is
    superseded is removed when the sink opens.
    """

    delivery = Delivery.TRANSACTIONAL
    params: ParquetParams
    many: ClassVar = 64
    """So many small files at the end of a day that still grows are merged."""
    quiet: ClassVar = 16
    """A day is thought finished when so many epochs have brought nothing to it."""

    @abstractmethod
    def place(self, job: JobInfo) -> tuple[Folder, Folder]:
        """The folders to write final rows and rows ahead to."""

    def open(self, job: JobInfo, generation: str) -> None:
        """Remove what a crash left; reject a folder that holds another run's forecasts."""
        self.folder, self.ahead = self.place(job)
        self._notes = self.folder / "_epochs"
        self._staged = [of / STAGED for of in (self.folder, self.ahead)]
        self._generation = generation
        self._noted: list[str] = []
        self._days: dict[Day, list[File]] = {}
        self._doubtful: set[Day] = set()
        self._rest = 0
        try:
            for staged in self._staged:
                staged.drop()
            days = [
                Day(early, name)
                for early, folder in enumerate((self.folder, self.ahead))
                for name in folder.names()
                if name.startswith(DAYS)
            ]
            self._begin(days)
            for day in days:
                self._look(day)
        except OSError as error:
            raise SinkError(
                f"{self.folder.url} cannot be used: {_reason(error)}; expected a folder that can "
                "be reached and written to"
            ) from error

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Put one file a day, or several if it has too many rows for one, then the note.

        Retry on errors of the file system that may pass. Raises SinkError at others.
        """
        if epoch < self._next:
            return AlreadyCommitted()
        try:
            put = [
                (day, self._put(day, part, table))
                for day, rows in _by_day(forecasts)
                for part, table in _pieces(epoch, rows, self.params.rows)
            ]
            self._note(epoch + 1)
        except OSError as error:
            return _retry(self.folder, error)
        return self._taken(put)

    def writer(self, part: Part) -> SinkPart:
        """Puts files aside."""
        return StagedPart(*self.place(part.job), part.number, self.params.rows)

    def commit(self, epoch: int, committables: Sequence[Committable]) -> Outcome:
        """Move the files of an epoch into their places, then note it. Errors as in `write`."""
        try:
            if epoch < self._next:
                self._drop_staged(committables)
                return AlreadyCommitted()
            moves = staging.moves(epoch, committables)
            staging.move(self.folder, self.ahead, moves)
            self._note(epoch + 1)
        except OSError as error:
            return _retry(self.folder, error)
        return self._taken([(day, parts([name])[0]) for day, _, name in moves])

    def _drop_staged(self, committables: Sequence[Committable]) -> None:
        """Remove what shards have staged of an epoch that is there already."""
        for early, folder in enumerate(self._staged):
            names = [name for staged in committables for e, _, name, _ in staged if e == early]
            folder.remove(*names)

    def close(self) -> None:
        """Merge the small files that are left, as far as that can be done now."""
        self._compact(self._next + self.quiet + 1)
        with suppress(OSError):
            for staged in self._staged:
                staged.drop()

    def _taken(self, put: Sequence[tuple[Day, File]]) -> Committed:
        """Keep count of the files of an epoch that has been noted, and merge what is due."""
        for day, part in put:
            self._days.setdefault(day, []).append(part)
        if self._next >= self._rest:
            self._compact(self._next)
        return Committed()

    def _at(self, day: Day) -> Folder:
        return (self.ahead if day.early else self.folder) / day.name

    def _begin(self, days: Sequence[Day]) -> None:
        """Find the next epoch by the note of this generation, which is made if there is none."""
        self._noted = self._notes.names()
        own = [name for name in self._noted if name.startswith(f"{self._generation}-")]
        if own:
            self._next = max(int(name.rpartition("-")[2]) for name in own)
            return
        for day in days:
            folder = self._at(day)
            if any(name.endswith(".parquet") for name in folder.names()):
                raise SinkError(
                    f"{folder.url.removesuffix('/' + day.name)} holds the forecasts of another run "
                    f"(in {day.name}); choose another folder or remove it"
                )
        self._note(0)

    def _note(self, following: int) -> None:
        """Note, durably, which epoch comes next; earlier notes go when they can."""
        name = f"{self._generation}-{following:08d}"
        self._notes.put(name, lambda file: None)
        self._next = following
        stale = [other for other in self._noted if other != name]
        self._noted = [name]
        try:
            self._notes.remove(*stale)
        except OSError:
            self._noted += stale

    def _look(self, day: Day) -> None:
        """Learn what is there of a day, and remove what a crash has left."""
        folder = self._at(day)
        names = folder.names()
        there = parts(names)
        gone = {part for part in there if part.last >= self._next} | {*superseded(there)}
        folder.remove(*(n for n in names if n.startswith(".")), *(p.name for p in gone))
        self._days[day] = [part for part in there if part not in gone]
        self._doubtful.discard(day)

    def _put(self, day: Day, part: File, rows: pa.Table) -> File:
        self._at(day).put(part.name, partial(_parquet, rows))
        return part

    def _compact(self, following: int) -> None:
        """Merge what is due. After a failure the next epochs are left in peace."""
        for day in sorted(self._days) if self.params.compact else ():
            try:
                if day in self._doubtful:
                    self._look(day)
                for group in self._due(day, following):
                    self._merge(day, group)
            except (OSError, pa.ArrowException) as error:
                self._doubtful.add(day)
                self._rest = following + self.quiet
                log.warning("%s was not compacted: %s", self._at(day).url, _reason(error))
                return

    def _due(self, day: Day, following: int) -> Iterator[list[File]]:
        return due(self._days[day], following, self.params.rows, self.many, self.quiet)

    def _merge(self, day: Day, group: Sequence[File]) -> None:
        folder = self._at(day)
        rows = pa.concat_tables([_read(folder, part) for part in group])
        whole = File(group[0].first, group[-1].last, len(rows))
        self._put(day, whole, rows)
        folder.remove(*(part.name for part in group))
        self._days[day] = [p for p in self._days[day] if p not in group] + [whole]


class StagedPart(SinkPart):
    """One shard's rows of an epoch, as files beside the folders of final rows and of rows ahead, of
    at most so many rows each.

    Their names differ from those of every other writer that there has ever been: one of a run that
    was killed may still be at work.
    """

    def __init__(self, final: Folder, ahead: Folder, number: int, most: int) -> None:
        self._staged, self._most = [of / STAGED for of in (final, ahead)], most
        self._writer = f"{number}-{uuid4().hex}"
        self._epoch = -1
        self._rows: list[pa.Table] = []

    def write(self, epoch: int, rows: pa.Table) -> None:
        """Hold the rows; those of an epoch that never came to its end go."""
        self._rows = [*(self._rows if epoch == self._epoch else ()), rows]
        self._epoch = epoch

    def prepare(self, epoch: int) -> Committable | Retry:
        """A list of [early, day, name, rows], one a file. Retry as `ParquetSink.write`."""
        staged: list[list[Any]] = []
        try:
            for day, rows in _by_day(pa.concat_tables(self._rows)):
                for _, table in _pieces(epoch, rows, self._most):
                    name = f"{epoch:08d}-{self._writer}-{len(staged)}.staged"
                    self._staged[day.early].put(name, partial(_parquet, table))
                    staged.append([*day, name, len(table)])
        except OSError as error:
            return _retry(self._staged[0], error)
        self._rows = []
        return staged


def _retry(folder: Folder, error: OSError) -> Retry:
    """Try again later. Raises SinkError where that cannot help."""
    if error.errno in FINAL:
        raise SinkError(f"{folder.url} cannot be written: {_reason(error)}") from error
    return Retry(f"{folder.url}: {_reason(error)}", FULL if error.errno in NO_SPACE else None)


def _read(folder: Folder, part: File) -> pa.Table:
    """Its rows. Raises OSError or ArrowException unless every byte and their number are right:
    fsspec's WebHDFS takes an error of a data node for what the file holds."""
    rows = pq.read_table(
        pa.BufferReader(folder.read(part.name)),
        read_dictionary=["sensor", "quantity", "model", "status", "experts", "flag"],
        page_checksum_verification=True,
    )
    if len(rows) != part.rows:
        raise OSError(errno.EIO, f"{part.name} holds {len(rows):,} rows")
    return rows


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _pieces(epoch: int, rows: pa.Table, most: int) -> Iterator[tuple[File, pa.Table]]:
    """The rows of an epoch as files of at most `most`, of about the same size."""
    number = -(-len(rows) // most)
    for piece, (a, b) in enumerate(pairwise(len(rows) * k // number for k in range(number + 1))):
        yield File(epoch, epoch, b - a, piece if number > 1 else None), rows.slice(a, b - a)


def _by_day(forecasts: pa.Table) -> Iterator[tuple[Day, pa.Table]]:
    """The rows of each stage and day."""
    early = is_ahead(forecasts)
    for stage in (True, False):
        rows = forecasts.filter(pa.array(early == stage))
        yield from ((Day(stage, name), of) for name, of in _runs(rows))


def _runs(forecasts: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each day and the name of its folder, as slices: rows come in runs of ascending
    time."""
    day = forecasts["time"].cast(pa.int64()).to_numpy() // DAY
    cuts = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist(), len(day)]
    runs: dict[int, list[pa.Table]] = {}
    for a, b in pairwise(cuts):
        if a < b:
            runs.setdefault(int(day[a]), []).append(forecasts.slice(a, b - a))
    for one in sorted(runs):
        yield f"{DAYS}{np.datetime64(one, 'D')}", pa.concat_tables(runs[one])


def _parquet(rows: pa.Table, file: BinaryIO) -> None:
    pq.write_table(
        rows.unify_dictionaries(), file, compression="snappy", use_dictionary=NAMES,
        write_statistics=["time"], store_schema=False, write_page_checksum=True,
    )  # fmt: skip
