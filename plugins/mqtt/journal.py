"""A journal on disk: messages in the order in which they came, each at an address of its own.

An address counts the bytes from the beginning of the journal, those of removed parts included, so
it leads to the same message for ever. Parts are files named by the address of their first byte. A
record is a head (size of its body, CRC-32 of the body, CRC-32 of these eight bytes) and a body
(milliseconds since 1970 at which it came, length of its topic, topic, payload).

One process at a time appends, the one that has the lock; others may read meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple
from uuid import uuid4
from zlib import crc32

from gapcast.engine.errors import SourceError
from gapcast.engine.storage import replace

log = logging.getLogger("gapcast.mqtt")

PART = 16 << 20
"""Bytes after which a part is followed by another."""
_CHUNK = 1 << 20
_VERSION = 1
_IDENTITY = "journal.json"
_SUFFIX = ".part"
_HEAD = struct.Struct("<III")
_BODY = struct.Struct("<qH")


class Message(NamedTuple):
    """What came. time: when, in milliseconds since 1970."""

    time: int
    topic: bytes
    payload: bytes


class Found(NamedTuple):
    """Whole records from the beginning of some bytes, each with its place among them.

    end: where they end. whole: whether what follows may be the beginning of another; if not, it is
    damaged, or was never written to its end.
    """

    records: list[tuple[int, Message]]
    end: int
    whole: bool


def encoded(message: Message) -> bytes:
    """A message as a record."""
    body = _BODY.pack(message.time, len(message.topic)) + message.topic + message.payload
    head = struct.pack("<II", len(body), crc32(body))
    return head + struct.pack("<I", crc32(head)) + body


def scan(data: bytes, most: int) -> Found:
    """The records that `data` begins with, `most` at most."""
    records: list[tuple[int, Message]] = []
    place = 0
    while len(records) < most and len(data) - place >= _HEAD.size:
        size, check, own = _HEAD.unpack_from(data, place)
        begin = place + _HEAD.size
        if crc32(data[place : begin - 4]) != own:
            return Found(records, place, False)
        if begin + size > len(data):
            break
        if crc32(data[begin : begin + size]) != check:
            return Found(records, place, False)
        moment, length = _BODY.unpack_from(data, begin)
        cut, end = begin + _BODY.size + length, begin + size
        records.append((place, Message(moment, data[begin + _BODY.size : cut], data[cut:end])))
        place = end
    return Found(records, place, True)


def torn(rest: bytes) -> bool:
    """Whether `rest`, the end of a part that does not begin with a whole record, is what a write
    leaves that was cut short: a beginning of records, perhaps followed by zeros."""
    written = len(rest.rstrip(b"\0"))
    if written <= _HEAD.size:
        return True
    size, _, own = map(int, _HEAD.unpack_from(rest))
    return crc32(rest[: _HEAD.size - 4]) == own and written <= _HEAD.size + size


class Journal:
    """The journal in `folder`, made if it is not there, for reading.

    topic: what its messages were subscribed to. Raises SourceError when the folder cannot be used
    or holds the messages of another topic. id: tells it from any other journal.
    """

    def __init__(self, folder: Path, topic: str) -> None:
        self.folder = folder
        try:
            found = _identity(folder, topic)
        except OSError as error:
            raise SourceError(f"spool {folder}: {error.strerror or error}") from None
        except ValueError:
            raise SourceError(f"{folder / _IDENTITY} is damaged: this is no journal") from None
        if found.get("version") != _VERSION:
            raise SourceError(
                f"{folder / _IDENTITY}: version {found.get('version')} instead of {_VERSION}; "
                "use another spool"
            )
        if found["topic"] != topic:
            raise SourceError(
                f"spool {folder} holds messages of {found['topic']!r}, not {topic!r}; each topic "
                "needs a spool of its own"
            )
        self.id: str = found["id"]

    def parts(self) -> list[int]:
        """Addresses at which parts begin, ascending."""
        return sorted(int(p.stem) for p in self.folder.glob(f"*{_SUFFIX}") if p.stem.isdecimal())

    def path(self, part: int) -> Path:
        """The file of a part."""
        return self.folder / f"{part:020d}{_SUFFIX}"

    def take(self, start: int | None, most: int) -> tuple[list[tuple[int, Message]], int]:
        """Records from address `start` on (None: the first there is), `most` at most, and the
        address after them. What is given is durable, and given again from the same address.

        Raises SourceError when the address is not in the journal, or what is there is damaged.
        """
        try:
            return self._take(start, most)
        except OSError as error:
            raise SourceError(f"spool {self.folder}: {error.strerror or error}") from None

    def _take(self, start: int | None, most: int) -> tuple[list[tuple[int, Message]], int]:
        parts = self.parts()
        if start is None:
            start = parts[0] if parts else 0
        if not parts and start == 0:
            return [], 0
        if not parts or start < parts[0]:
            raise self._gone(start, parts)
        part = max(p for p in parts if p <= start)
        with self.path(part).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if start > part + size:
                raise self._gone(start, parts, part + size)
            file.seek(start - part)
            found = self._records(file, most)
            if part != parts[-1]:
                if not found.records:
                    raise self._damaged(part, start - part)
                return [(start + p, m) for p, m in found.records], start + found.end
            if not found.whole:
                file.seek(start - part + found.end)
                if not found.records and not torn(file.read()):
                    raise self._damaged(part, start - part)
            if found.records:
                os.fdatasync(file.fileno())
        return [(start + p, m) for p, m in found.records], start + found.end

    def _records(self, file: IO[bytes], most: int) -> Found:
        data = file.read(_CHUNK)
        found = scan(data, most)
        if not found.records and found.whole and len(data) >= _HEAD.size:
            needed = _HEAD.size + _HEAD.unpack_from(data)[0]
            found = scan(data + file.read(max(0, needed - len(data))), most)
        return found

    def _gone(self, start: int, parts: list[int], end: int = 0) -> SourceError:
        where = f"spool {self.folder}"
        if parts and start < parts[0]:
            return SourceError(
                f"{where} begins at {parts[0]} now: the messages from {start} on were removed "
                "after `retain`, so the run cannot go on from there; start a new run in another "
                "--run-dir"
            )
        return SourceError(
            f"{where} ends at {end}, before {start}: some of it was lost or removed by hand; "
            "restore it, or start a new run in another --run-dir"
        )

    def _damaged(self, part: int, byte: int) -> SourceError:
        path = self.path(part)
        return SourceError(
            f"{path} is damaged at byte {byte}, or the part after it is missing: restore it from a "
            f"copy; or, if it is the last part, give up what follows with `truncate -s {byte} "
            f"{path}`, and start a new run"
        )

    def forget(self, before: int, age: float) -> None:
        """Remove parts that end at or before an address and have not changed for `age` seconds."""
        parts = self.parts()
        for part, after in pairwise(parts):
            path = self.path(part)
            if after > before or time.time() - path.stat().st_mtime < age:
                return
            path.unlink()

    def claim(self) -> Writer | None:
        """The right to append, or None while someone else has it. Raises SourceError when the end
        of the journal is damaged or cannot be written."""
        try:
            lock = (self.folder / ".lock").open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return Writer(self, lock)
            except BlockingIOError:
                lock.close()
                return None
            except BaseException:
                lock.close()
                raise
        except OSError as error:
            raise SourceError(f"spool {self.folder}: {error.strerror or error}") from None

    def recover(self) -> tuple[int, int]:
        """Cut off what a write left that did not come to its end: the last part and the address at
        its end. Raises SourceError when more than that is damaged."""
        part = max(self.parts(), default=None)
        if part is None:
            self._begin(0)
            return 0, 0
        data = self.path(part).read_bytes()
        found = scan(data, len(data))
        rest = data[found.end :]
        if rest:
            if not torn(rest):
                raise self._damaged(part, found.end)
            log.info("%s: cut at byte %d, %d bytes of a write that was cut short",
                     self.path(part), found.end, len(rest))  # fmt: skip
            os.truncate(self.path(part), found.end)
        return part, part + found.end

    def _begin(self, part: int) -> None:
        """Make a new part, durably."""
        self.path(part).touch()
        _sync(self.folder)


class Writer:
    """Appends to a journal; only one at a time has the right to, see `Journal.claim`."""

    def __init__(self, journal: Journal, lock: IO[str]) -> None:
        self._journal, self._lock = journal, lock
        self._part, self.end = journal.recover()
        self._file = journal.path(self._part).open("ab")

    def append(self, messages: Iterable[Message]) -> None:
        """Append messages. They are durable when this returns; raises OSError when they are not,
        after which nothing may be appended."""
        data = b"".join(map(encoded, messages))
        if self.end - self._part >= PART:
            self._file.close()
            self._journal._begin(self.end)
            self._part = self.end
            self._file = self._journal.path(self._part).open("ab")
        self._file.write(data)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self.end += len(data)

    def close(self) -> None:
        """Give up the right to append."""
        with suppress(OSError):  # what a full disk did not take; it was not promised
            self._file.close()
        self._lock.close()


def _identity(folder: Path, topic: str) -> dict[str, Any]:
    """What says which journal is in `folder`; two processes at once make one and the same."""
    folder.mkdir(parents=True, exist_ok=True)
    path, handle = folder / _IDENTITY, os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not path.exists():
            made = json.dumps({"version": _VERSION, "id": uuid4().hex[:12], "topic": topic})
            replace(path, lambda file: file.write(made.encode()))
    finally:
        os.close(handle)
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
