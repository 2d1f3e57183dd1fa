"""``replay``: readings from files, as fast as possible or as many times faster than recorded."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.output.unused import Unused
from gapcast.engine.plugin import Params
from gapcast.engine.source import Change, Position, Read, Source
from gapcast.engine.units import Speed
from gapcast.plugins.sources.cursor import Cursor
from gapcast.plugins.sources.files import File, check_placeholders, find
from gapcast.plugins.sources.formats import FORMATS, guess, load
from gapcast.plugins.sources.formats.begun import Begun
from gapcast.plugins.sources.formats.chunk import Order, Rest
from gapcast.plugins.sources.formats.csv import CsvOptions
from gapcast.plugins.sources.formats.format import Format
from gapcast.plugins.sources.formats.ordered import Ordered
from gapcast.plugins.sources.look import few, first_look, nothing_read
from gapcast.plugins.sources.pace import Pace

log = logging.getLogger("gapcast.files")

_BYTES = 1 << 26
_OPEN = 256
"""So many files are open at most; that which has not been read for longest is closed."""
_REFRESH, _POLL = 1.0, 0.2
"""Seconds between two looks for new files, and at all files for what is new in them."""
_LOOK = 200_000
"""Readings of a file that are looked at to see whether it is in order of time."""
_LEAST, _MOST = 1 << 16, 1 << 20
"""Bytes held of all open files together, and the bounds of what is read of each at once."""


def _checked(paths: str | list[str]) -> str | list[str]:
    for path in [paths] if isinstance(paths, str) else paths:
        check_placeholders(path)
    return paths


class ReplayParams(CsvOptions):
    """Parameters of the source ``replay``; the keys of the built-in formats are among them."""

    path: Annotated[str | list[str], AfterValidator(_checked)] = Field(
        description="Files, folders or globs, local or of any file system fsspec knows; plain, or "
        "compressed by gzip, zstd or bzip2. Each file is a partition. `{sensor}` and `{quantity}` "
        "in a path stand for the name of what is in the file: `data/{sensor}.csv`."
    )
    format: str | None = Field(
        default=None,
        description="csv, influx-csv, influx-line, intel-lab, intel-lab-conv, parquet, toa5 or "
        "my.module:MyFormat. Default: told by the file's name, where it can be.",
    )
    speed: Speed = Field(default=math.inf, description="max, or 60x: sixty times as recorded.")
    order: Literal["time", "as-is"] | None = Field(
        default=None,
        description="time: each file is sorted by time before it is read; as-is: none is. Default: "
        "those are in which more than 1 % of the readings are earlier than one before them.",
    )
    follow: bool = Field(
        default=False,
        description="Read files for ever, as they grow and as new ones appear; a line counts when "
        "its end is written.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Keys of a format that is not built in."
    )

    @model_validator(mode="after")
    def _fits_format(self) -> ReplayParams:
        for name in {self.format} if self.format else {guess(p) for p in self.paths} - {None}:
            self.of(load(str(name)))
        return self

    @model_validator(mode="after")
    def _fits_follow(self) -> ReplayParams:
        if self.follow and (self.order == "time" or not math.isinf(self.speed)):
            raise ValueError("follow goes neither with order: time nor with a speed")
        return self

    @property
    def paths(self) -> list[str]:
        """`path` as a list."""
        return [self.path] if isinstance(self.path, str) else self.path

    def of(self, reader: type[Format]) -> Params:
        """The options of a format. Raises ValueError if some do not belong to it."""
        own = {
            name: getattr(self, name)
            for name, field in CsvOptions.model_fields.items()
            if getattr(self, name) != field.default
        }
        if foreign := sorted(own.keys() - reader.Options.model_fields.keys()):
            raise ValueError(f"not understood by this format: {', '.join(foreign)}")
        return reader.Options(**own, **self.options)


class ReplaySource(Source):
    """Files, each a partition under its name, sorted by name with numbers by their value.

    A position is ``{line, skip, file}``, and for text ``byte``: the decompressed bytes before that
    line. `file` is how the file begins, and its stamp: one that begins differently by then is not
    read on (SourceError). Within an hour that comes twice, and for a while after it, `since` is the
    line from which on lines are read again to tell its passes apart. Going on in a compressed file
    decompresses all before it again. In a file that is ``sorted`` by time, `line` counts readings;
    going on sorts it again, if no byte of it is another.
    """

    Params = ReplayParams
    resumable = frozenset({"speed", "follow"})

    params: ReplayParams

    def open(self, quantities: Collection[str] | None) -> None:
        """See `Source.open`. Raises SourceError when there is no file or its format is unknown."""
        self._quantities = None if quantities is None else frozenset(quantities)
        self._files = {file.name: file for file in find(self.params.paths)}
        self._size = min(_MOST, max(_LEAST, _BYTES // min(_OPEN, len(self._files))))
        self._pace = None if math.isinf(self.params.speed) else Pace(self.params.speed)
        self._cursors: dict[str, Cursor] = {}
        self._known: dict[str, dict[str, Any]] = {}
        self._in_order: dict[str, bool] = {}
        self._looked = time.monotonic()
        self._check_sensors(self._files.values())

    def look(self, quantities: Collection[str], targets: Collection[str]) -> Mapping[str, str]:
        """See `Source.look`."""
        self._quantities, self._size = frozenset(quantities), _LEAST
        files = find(self.params.paths)
        self._check_sensors(few(files))
        return first_look(files, self._reader, {*targets})

    def _check_sensors(self, files: Collection[File]) -> None:
        """Files whose sensors only the names of columns say must not share them."""
        first: dict[str, str] = {}
        for file in files if len(files) > 1 else ():
            for sensor in self._reader(file).implicit():
                if sensor in first:
                    raise SourceError(
                        f"{first[sensor]} and {file.path} have a column {sensor!r}, and neither "
                        "says of which sensor: where each file is a sensor's, say so in the path, "
                        "as 'data/{sensor}.csv'; where all are of one sensor, name it: "
                        f"wide: {{{sensor}: {{sensor: name}}}}"
                    )
                first[sensor] = file.path

    @property
    def live(self) -> bool:
        """See `Source.live`: files that grow, or are played at a speed."""
        return self.params.follow or not math.isinf(self.params.speed)

    def partitions(self) -> list[str]:
        """See `Source.partitions`. Files that are followed may get more."""
        if self.params.follow and time.monotonic() - self._looked > _REFRESH:
            self._looked = time.monotonic()
            with suppress(SourceError):  # none of them is there just now
                for file in find(self.params.paths, again=True):
                    self._files.setdefault(file.name, file)
        return list(self._files)

    def discover(self) -> Iterable[Series]:
        """The series in all files. Reads everything once; SourceError where no reading of any
        quantity can be used."""
        found: set[Series] = set()
        unused = Unused()
        for file in self._files.values():
            order = Order()
            found |= self._reader(file).series(unused, order)
            self._note(file, order)
        if unused.kinds and not found and self._quantities is None:
            raise nothing_read(unused)
        return sorted(found)

    def read(self, partition: str, position: Position | None, limit: int) -> Read:
        """See `Source.read`."""
        file = self._files.get(partition)
        if file is None:
            raise SourceError(
                f"{partition}: the file is not there any more, and this run had not read all of "
                "it; bring it back, or begin a new run"
            )
        cursor = self._cursors.pop(partition, None)
        if cursor is None:
            position = self._checked(file, position)
            known: dict[str, Any] = file.fingerprint() | {"stamp": file.stamp()}
            reader = self._ordered(file, position)
            if isinstance(reader, Ordered):
                known["whole"] = position["file"]["whole"] if position else file.checksum()
            self._known[partition] = known
            cursor = Cursor(reader, self._pace)
        self._cursors[partition] = cursor  # now the last one used
        if len(self._cursors) > _OPEN:
            self._cursors.pop(next(iter(self._cursors))).close()
        read = cursor.read(_place(position), limit)
        if read.ended:
            self._cursors.pop(partition).close()
            if self.params.follow:
                time.sleep(_POLL / len(self._files))
                read = replace(read, ended=False)
        return replace(read, position=read.position | {"file": self._known[partition]})

    def changed(self, positions: Mapping[str, Position]) -> list[Change]:
        """See `Source.changed`. Only files with another stamp are looked into."""
        for system in {id(f.system): f.system for f in self._files.values()}.values():
            system.invalidate_cache()
        found = []
        for name, position in positions.items():
            if name not in self._files:
                found.append(Change(name, "is not there any more", more=False))
            elif how := self._change(self._files[name], position):
                found.append(how)
        with suppress(SourceError):  # none of them is there any more
            new = [
                file.name
                for file in find(self.params.paths, again=True)
                if file.name not in self._files
            ]
            found += [Change(name, "is new", more=True) for name in new]
        return found

    def _change(self, file: File, position: Position) -> Change | None:
        if self.params.follow:
            return Change(file.name, "is followed from now on", more=True)
        try:
            if file.stamp() == position["file"].get("stamp"):
                return None
            if how := file.difference(position["file"], "sorted" in position):
                return Change(file.name, how, more=True)
            chunks = self._ordered(file, position).chunks(_place(position))
            line = position["line"]
            if "sorted" in position or not any(c.end > line or isinstance(c, Rest) for c in chunks):
                return Change(file.name, "was written to, but nothing follows in it", more=False)
        except SourceError as error:
            why = str(error).rpartition(": ")[2]
            return Change(file.name, f"cannot be read any more: {why}", more=True)
        return Change(file.name, "has grown", more=True)

    def _checked(self, file: File, position: Position | None) -> Position | None:
        """`position`, if the file is the one it was made for. One that is followed may be begun
        anew, and is read from its beginning then."""
        if position is None or position["file"]["head"] == 0:  # it was empty
            return None
        if position.get("byte") == position["skip"] == 0 and "sorted" not in position:  # not begun
            return None
        if self.params.follow and "sorted" in position:
            raise SourceError(
                f"{file.path}: has been sorted before it was read, and cannot be followed: resume "
                "without source.follow, or begin a new run"
            )
        try:
            file.check(position["file"], position["line"], whole="sorted" in position)
        except SourceError as error:
            if not self.params.follow:
                raise
            log.warning("%s; it is read from its beginning", str(error).partition(": bring")[0])
            return None
        return position

    def close(self) -> None:
        """See `Source.close`."""
        for cursor in self._cursors.values():
            cursor.close()
        self._cursors.clear()

    def _ordered(self, file: File, position: Position | None) -> Format:
        """The reader of a file, in order of time if that is asked for, or seems to be needed; from
        a position on, as it was read before."""
        reader = self._reader(file)
        if position is not None:
            return Ordered(reader) if "sorted" in position else reader
        asked = self.params.order is None and not self.params.follow
        if asked and file.name not in self._in_order:
            order, begun = Order(), Begun(reader)
            with suppress(SourceError):  # what is damaged later is met when it is read
                for piece in begun.look():
                    order.add(piece.readings)
                    if order.seen >= _LOOK:
                        break
            self._note(file, order)
            reader = begun
        if self.params.follow:
            return reader
        as_is = self.params.order == "as-is" or self._in_order.get(file.name, False)
        return reader if as_is else Ordered(reader)

    def _note(self, file: File, order: Order) -> None:
        """Remember, and say, whether a file has been found to be in order."""
        self._in_order[file.name] = order.kept
        if not order.kept and self.params.order is None:
            log.warning(
                "%s is not in order of time: it is sorted before it is read (source.order: as-is "
                "leaves it)", file.path,
            )  # fmt: skip

    def _reader(self, file: File) -> Format:
        name = self.params.format or guess(file.path)
        if name is None:
            raise SourceError(
                f"{file.path}: the file name does not show the format; say `format: csv`, or which "
                f"of {', '.join(FORMATS)} it is"
            )
        try:
            reader = load(name)
            options = self.params.of(reader)
        except ValueError as error:
            raise SourceError(f"{file.path}: {error}") from error
        made = reader(file, options, self._quantities, self._size)
        made.name, made.growing = name, self.params.follow
        return made


def _place(position: Position | None) -> Position | None:
    """A position within its file, as its format knows it."""
    return None if position is None else {k: v for k, v in position.items() if k != "file"}
