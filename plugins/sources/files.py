"""The files a source is given: found once, opened from any byte of what is in them."""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from gapcast.engine.errors import SourceError
from gapcast.engine.storage import check_url

log = logging.getLogger("gapcast.files")

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_ZIP = b"PK\x03\x04"
_PIECE = 1 << 20
_WRITTEN = ("mtime", "LastModified", "last_modified", "updated", "modificationTime", "created")
"""Under which of these a file system says when a file was written to."""
_HEAD = 4096
"""Bytes by which a file is known again."""


@dataclass(frozen=True)
class File:
    """A file under the name it has as a partition, on any file system fsspec knows.

    said: what its path says of its readings, ``sensor`` and ``quantity``, by placeholders. told:
    what has been said of it.
    """

    name: str
    path: str
    system: Any
    said: Mapping[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set, compare=False, repr=False)

    def tell(self, note: str) -> None:
        """Say something of the file in the log, once however often it is looked at."""
        if note not in self.told:
            self.told.add(note)
            log.warning("%s%s", self.path, note)

    def open(self) -> Any:
        """The file as it is, for reading bytes. Raises SourceError."""
        try:
            return self.system.open(self.path, "rb")
        except OSError as error:
            raise self.unreadable(error) from error

    def stream(self, byte: int = 0) -> Any:
        """What is in the file from `byte` on, decompressed if it is gzip, zstd or bzip2.

        Which of them is told by how the file begins, not by its name. A place within compressed
        data is reached by decompressing all that stands before it.
        """
        raw = self.open()
        begin = raw.read(4)
        if begin == _ZIP:
            raise SourceError(
                f"{self.path}: is a zip archive, as spreadsheets (.xlsx) are, too: unpack it, or "
                "save the sheet as CSV"
            )
        codec = codec_of(begin)
        if codec is None:
            raw.seek(byte)
            return raw
        raw.seek(0)
        stream = pa.CompressedInputStream(raw, codec)
        try:
            while byte:
                passed = len(stream.read(min(byte, _PIECE)))
                if passed == 0:
                    break
                byte -= passed
        except OSError as error:
            raise self.unreadable(error) from error
        return stream

    def stamp(self) -> str:
        """What is another whenever the file has been written to: its size and when that was, as its
        file system has it. Raises SourceError."""
        try:
            info = self.system.info(self.path)
        except OSError as error:
            raise self.unreadable(error) from error
        when = next((info[key] for key in _WRITTEN if info.get(key)), "")
        return f"{info['size']} {when}"

    def fingerprint(self, length: int = _HEAD) -> dict[str, int]:
        """What shows later whether it still is the file that it is now: how what is in it begins,
        and its size, 0 where it is compressed."""
        with self.open() as raw:
            packed = codec_of(raw.read(4)) is not None
            size = 0 if packed else raw.seek(0, os.SEEK_END)
        head = b""
        with self.stream() as stream, suppress(OSError):  # damage is met when it is read
            while len(head) < length and (piece := stream.read(length - len(head))):
                head += piece
        return {"head": len(head), "crc": zlib.crc32(head), "size": size}

    def checksum(self) -> int:
        """Of all its bytes, as they are. Raises SourceError."""
        crc = 0
        try:
            with self.open() as raw:
                while piece := raw.read(_PIECE):
                    crc = zlib.crc32(piece, crc)
        except OSError as error:
            raise self.unreadable(error) from error
        return crc

    def difference(self, fingerprint: Mapping[str, Any], whole: bool = False) -> str | None:
        """In what it is not the file of which this is the `fingerprint`; whole: nor one that has
        grown since, or in which anything is another than its `checksum` says."""
        now = self.fingerprint(fingerprint["head"])
        if now["crc"] != fingerprint["crc"]:
            return "begins differently"
        if now["size"] < fingerprint["size"]:
            return "is shorter"
        if whole and now["size"] > fingerprint["size"]:
            return "has grown, and is sorted before it is read"
        if whole and self.checksum() != fingerprint["whole"]:
            return "has been changed within, and is sorted before it is read"
        return None

    def check(self, fingerprint: Mapping[str, Any], line: int, whole: bool = False) -> None:
        """Raise SourceError if there is such a `difference`."""
        if how := self.difference(fingerprint, whole):
            raise SourceError(
                f"{self.path}: is not the file any more that was read up to line {line}, it {how}: "
                "bring that one back, or begin a new run"
            )

    def unreadable(self, error: Exception) -> SourceError:
        """The error to raise when the file cannot be read, or not to its end."""
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SourceError(f"{self.path}: cannot be read: {cause}")


def codec_of(begin: bytes) -> str | None:
    """How a file is compressed that begins so."""
    return next((codec for magic, codec in _MAGIC.items() if begin.startswith(magic)), None)


def find(paths: Iterable[str], again: bool = False) -> list[File]:
    """The files that `paths` mean: files, folders (all within, but hidden ones) or globs.

    In a glob, ``{sensor}`` and ``{quantity}`` stand for a part of a name that says the sensor or
    the quantity of all readings in the file. A file's name is its path relative to the folder or
    to the fixed part of the glob; where two would have the same name, the whole path. Sorted by
    name, numbers by their value. again: what is passed over has been told before. Raises
    SourceError when a path leads to no file.
    """
    found = {file.path: file for path in paths for file in _expanded(path, again)}
    times = Counter(file.name for file in found.values())
    files = [
        file if times[file.name] == 1 else replace(file, name=file.path) for file in found.values()
    ]
    return sorted(files, key=lambda file: _natural(file.name))


def _expanded(path: str, again: bool) -> list[File]:
    import fsspec

    try:
        check_url(path)
        system, root = fsspec.core.url_to_fs(path)
        if system.isdir(root):
            files = [File(_relative(p, root), p, system) for p in _within(system, root)]
            files = _shown(path, files, again)
        elif system.exists(root):
            files = [File(PurePosixPath(root).name, root, system)]
        else:
            files = _matching(path, root, system, again)
    except (OSError, ImportError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    if not files:
        raise SourceError(f"{path}: no such file; give a file, a folder or a glob such as '*.csv'")
    return files


def _within(system: Any, root: str) -> list[str]:
    """All files below a folder; on this machine also those behind symbolic links, each once."""
    if "file" not in system.protocol:
        return list(system.find(root))
    found, seen = [], set()
    for folder, folders, names in os.walk(root, onerror=_raise, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [f"{folder}/{name}" for name in names]
    return found


def _raise(error: OSError) -> None:
    raise error


def check_placeholders(path: str) -> str:
    """`path`, if its placeholders are known, each there once, and none beside another.

    Raises ValueError.
    """
    if not path:
        raise ValueError("a path is empty; '.' is the folder in which gapcast is started")
    found = re.findall(r"\{[^{}/]*\}?", path)
    if wrong := [name for name in found if not _PLACEHOLDER.fullmatch(name)]:
        raise ValueError(
            f"{path}: unknown placeholder {wrong[0]}; known are {{sensor}}, {{quantity}}"
        )
    if len({*found}) < len(found):
        raise ValueError(f"{path}: a placeholder stands for one part of a path, not for two")
    if re.search(r"\}\{|\}\*|\*\{", path):
        raise ValueError(f"{path}: between placeholders and * there must be a letter or a mark")
    return path


def _matching(path: str, root: str, system: Any, again: bool) -> list[File]:
    """The files that a glob with placeholders means; hidden ones if its last part says so."""
    whole = re.compile("".join(_pattern(piece) for piece in _GLOB.split(root)))
    fixed = re.split(r"[^/]*(?:[*?\[]|\{sensor\}|\{quantity\})", root, maxsplit=1)[0].rstrip("/")
    files = []
    for found in system.glob(_PLACEHOLDER.sub("*", root)):
        matched = whole.fullmatch(found)
        if matched and system.isfile(found):
            said = {role: _name(text) for role, text in matched.groupdict().items()}
            files.append(File(_relative(found, fixed), found, system, said))
    return files if PurePosixPath(root).name[:1] in "._" else _shown(path, files, again)


_PLACEHOLDER = re.compile(r"\{(?:sensor|quantity)\}")
_GLOB = re.compile(r"(\{sensor\}|\{quantity\}|\*\*/|\*\*|\*|\?|\[[^\]]*\])")
_PATTERNS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _pattern(piece: str) -> str:
    """A piece of a glob as a regular expression."""
    if _PLACEHOLDER.fullmatch(piece):
        return f"(?P<{piece[1:-1]}>[^/]+)"
    if piece.startswith("["):
        return "[^" + piece[2:] if piece.startswith("[!") else piece
    return _PATTERNS.get(piece) or re.escape(piece)


def _shown(path: str, files: list[File], again: bool) -> list[File]:
    """Those that are not hidden; which are is said."""
    shown = [file for file in files if not re.search(r"(^|/)[._]", file.name)]
    if len(shown) < len(files) and not again:
        hidden = next(file.name for file in files if file not in shown)
        log.warning(
            "%s: %d hidden files are not read, %s the first; a path that names them is read",
            path, len(files) - len(shown), hidden,
        )  # fmt: skip
    return shown


def _relative(path: str, root: str) -> str:
    return _name(path.removeprefix(root).lstrip("/"))


def _name(text: str) -> str:
    """A name with what is not UTF-8 in it written as ``\\xff``."""
    return os.fsencode(text).decode(errors="backslashreplace")


def _natural(name: str) -> list[tuple[str, int]]:
    """A key that puts ``day-2`` before ``day-10``."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]
