"""The files a source is given: found once, opened from any byte of what is in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from gapcast.engine.errors import SourceError
from gapcast.engine.storage import check_url

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PIECE = 1 << 20


@dataclass(frozen=True)
class File:
    """A file under the name it has as a partition, on any file system fsspec knows."""

    name: str
    path: str
    system: Any

    def open(self) -> Any:
        """The file as it is, for reading bytes. Raises SourceError."""
        try:
            return self.system.open(self.path, "rb")
        except OSError as error:
            raise self.unreadable(error) from error

    def stream(self, byte: int = 0) -> Any:
        """What is in the file from `byte` on, decompressed if it is gzip or zstd.

        Which of them is told by how the file begins, not by its name. A place within compressed
        data is reached by decompressing all that stands before it.
        """
        raw = self.open()
        begin = raw.read(4)
        codec = next((c for magic, c in _MAGIC.items() if begin.startswith(magic)), None)
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

    def unreadable(self, error: Exception) -> SourceError:
        """The error to raise when the file cannot be read, or not to its end."""
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SourceError(f"{self.path}: cannot be read: {cause}")


def find(paths: Iterable[str]) -> list[File]:
    """The files that `paths` mean: files, folders (all within, but hidden ones) or globs.

    A file's name is its path relative to the folder or to the fixed part of the glob; where two
    would have the same name, the whole path. Sorted by name, numbers by their value. Raises
    SourceError when a path leads to no file.
    """
    found = {file.path: file for path in paths for file in _expanded(path)}
    times = Counter(file.name for file in found.values())
    files = [
        file if times[file.name] == 1 else File(file.path, file.path, file.system)
        for file in found.values()
    ]
    return sorted(files, key=lambda file: _natural(file.name))


def _expanded(path: str) -> list[File]:
    import fsspec

    try:
        check_url(path)
        system, root = fsspec.core.url_to_fs(path)
        if re.search(r"[*?\[]", root):
            found = [p for p in system.glob(root) if system.isfile(p)]
            fixed = re.split(r"[^/]*[*?\[]", root, maxsplit=1)[0].rstrip("/")
        elif system.isdir(root):
            found, fixed = system.find(root), root
        else:
            found, fixed = [root] if system.exists(root) else [], str(PurePosixPath(root).parent)
    except (OSError, ImportError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    named = [File(_relative(p, fixed), p, system) for p in found]
    shown = [file for file in named if not re.search(r"(^|/)[._]", file.name)] or named[:1]
    if not shown:
        raise SourceError(f"{path}: no such file; give a file, a folder or a glob such as '*.csv'")
    return shown


def _relative(path: str, root: str) -> str:
    return path.removeprefix(root).lstrip("/")


def _natural(name: str) -> list[tuple[str, int]]:
    """A key that puts ``day-2`` before ``day-10``."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]
