"""A folder on any filesystem that fsspec knows: files that appear whole and durable, or not at all.

Local folders go straight to the operating system, which fsspec cannot ask to flush.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, BinaryIO

from gapcast.engine.errors import RunError
from gapcast.engine.spelling import meant

Write = Callable[[BinaryIO], object]
"""Fills a file that is open for writing."""

OBJECTS = {"abfs", "abfss", "az", "gcs", "gs", "oci", "oss", "s3", "s3a", "tos"}
"""Protocols of object stores: an object appears when all of it is there, and a move is a copy."""

FILESYSTEMS = "gapcast.filesystems"
"""Entry points of this group come before what fsspec knows: a protocol, and its class of fsspec's
AbstractFileSystem. One that moves a file into the place of another in one step has a method
``replace``, as `os.replace`."""

_CODES = {
    FileExistsError: errno.EEXIST,
    PermissionError: errno.EACCES,
    NotADirectoryError: errno.ENOTDIR,
    IsADirectoryError: errno.EISDIR,
}
"""Of errors that drivers raise without saying their code."""


class Folder(ABC):
    """A folder, which comes into being with its first file. `url` names it in messages.

    A name is that of one file right below; ``folder / "name"`` is the folder below. Threads may
    share a folder; two that write one name at a time may not. Methods raise OSError, whatever the
    driver raised.
    """

    url: str

    @abstractmethod
    def __truediv__(self, name: str) -> Folder:
        """The folder `name` below this one."""

    @abstractmethod
    def put(self, name: str, write: Write) -> None:
        """Let `write` fill a file, and make it appear as `name`, durable and whole.

        When `write` raises, or the process dies, there is no such file; a name that begins with a
        dot may be left. One that was there before is replaced: in one step on local disks, object
        stores and filesystems with a ``replace``, elsewhere by removing it first.
        """

    @abstractmethod
    def write(self, name: str, write: Write) -> None:
        """The same in place, which is cheaper: a crash may leave a torn file of that name.

        It is durable once a later `put` to this folder has returned.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """All of a file. Raises FileNotFoundError."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of the files and folders right below, sorted; none if there is no such folder."""

    @abstractmethod
    def remove(self, *names: str) -> None:
        """Remove files for good; those that are not there are none."""

    @abstractmethod
    def move(self, name: str, folder: Folder, to: str) -> None:
        """Make a file of this folder one of `folder`, of the same filesystem, called `to`, in the
        place of any that is there; durable. In one step as far as `put` is. Raises
        FileNotFoundError."""

    @abstractmethod
    def drop(self) -> None:
        """Remove this folder with all that is in it, in no order."""


def open_folder(place: Folder | Path | str, options: Mapping[str, Any] | None = None) -> Folder:
    """The folder at a local path or a URL such as ``hdfs://name-node:9000/gapcast``.

    options: settings for the driver, if there is one. Raises RunError when there is none or it
    cannot be made.
    """
    if isinstance(place, Folder):
        return place
    if isinstance(place, Path) or _local(place):
        return _Local(Path(str(place).removeprefix("file://")))
    try:
        check_url(place)
        from fsspec.core import url_to_fs

        fs, root = url_to_fs(place, **(options or {}))
    except Exception as error:
        raise RunError(f"{place} cannot be opened: {_first_line(error)}") from error
    return _Remote(fs, root.rstrip("/"), place.rstrip("/"))


def check_url(url: str) -> str:
    """`url`, made absolute if it is a local path. Touches no filesystem.

    Raises ValueError when nothing here can open such a URL, with what to install if that helps.
    """
    if _local(url):
        return str(Path(url.removeprefix("file://")).absolute())
    from fsspec import get_filesystem_class, register_implementation
    from fsspec.registry import known_implementations, registry
    from fsspec.utils import get_protocol

    protocol = get_protocol(url)
    ours = entry_points(group=FILESYSTEMS)
    known = known_implementations.keys() | registry.keys() | ours.names
    if protocol not in known:
        raise ValueError(f"no filesystem is known by {protocol!r}{meant(protocol, known)}")
    try:
        for entry in ours.select(name=protocol):
            register_implementation(protocol, entry.load(), clobber=True)
        get_filesystem_class(protocol)
    except (ImportError, RunError) as error:
        raise ValueError(f"there is no driver for {protocol}://; {error}") from None
    return url


def _local(url: str) -> bool:
    return url.startswith("file://") or ("://" not in url and "::" not in url)


def replace(path: Path, write: Write) -> None:
    """Let `write` fill a file aside, flush it to disk, and put it in the place of `path`."""
    aside = path.with_name(f".{path.name}.tmp")
    _fill(aside, write)
    aside.replace(path)
    _sync(path.parent)


def _fill(path: Path, write: Write) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make what was made, renamed or removed in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


class _Local(Folder):
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = str(path)

    def __truediv__(self, name: str) -> Folder:
        return _Local(self.path / name)

    def put(self, name: str, write: Write) -> None:
        _make(self.path)
        replace(self.path / name, write)

    def write(self, name: str, write: Write) -> None:
        _make(self.path)
        _fill(self.path / name, write)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []

    def remove(self, *names: str) -> None:
        with suppress(FileNotFoundError):
            for name in names:
                (self.path / name).unlink(missing_ok=True)
            _sync(self.path)

    def move(self, name: str, folder: Folder, to: str) -> None:
        assert isinstance(folder, _Local)
        _make(folder.path)
        (self.path / name).replace(folder.path / to)
        _sync(folder.path)

    def drop(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)


class _Remote(Folder):
    """A folder of an fsspec filesystem: written aside and moved, or put at once as an object.

    A file is held in memory until all of it is there to be sent.
    """

    def __init__(self, fs: Any, root: str, url: str) -> None:
        self.url = url
        self._fs, self._root = fs, root
        protocols = {fs.protocol} if isinstance(fs.protocol, str) else {*fs.protocol}
        self._objects = bool(protocols & OBJECTS)
        self._made = self._objects

    def __truediv__(self, name: str) -> Folder:
        return _Remote(self._fs, self._at(name), f"{self.url}/{name}")

    def put(self, name: str, write: Write) -> None:
        aside = name if self._objects else f".{name}.tmp"
        self.write(aside, write)
        if self._objects:
            return
        with self._told(name):
            self._move(self._at(aside), self._at(name))

    def _move(self, aside: str, there: str) -> None:
        if hasattr(self._fs, "replace"):
            self._fs.replace(aside, there)
            return
        if self._fs.exists(there):
            self._fs.rm_file(there)
        self._fs.mv(aside, there)

    def write(self, name: str, write: Write) -> None:
        held = io.BytesIO()  # an object closed after an error would appear; drivers want bytes
        write(held)
        with self._told(name):
            if not self._made:
                self._fs.makedirs(self._root, exist_ok=True)
                self._made = True
            self._fs.pipe_file(self._at(name), held.getvalue())

    def read(self, name: str) -> bytes:
        with self._told(name):
            whole: bytes = self._fs.cat_file(self._at(name))
            return whole

    def names(self) -> list[str]:
        with self._told(""):
            self._fs.invalidate_cache(self._root)
            try:
                found = self._fs.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
            paths = {path.rstrip("/") for path in found} - {self._root}
            return sorted(path.rpartition("/")[2] for path in paths)

    def remove(self, *names: str) -> None:
        for name in names:
            with self._told(name), suppress(FileNotFoundError):
                self._fs.rm_file(self._at(name))

    def move(self, name: str, folder: Folder, to: str) -> None:
        assert isinstance(folder, _Remote)
        with self._told(name):
            if not folder._made:
                self._fs.makedirs(folder._root, exist_ok=True)
                folder._made = True
            if not hasattr(self._fs, "replace") and not self._fs.exists(self._at(name)):
                raise FileNotFoundError(errno.ENOENT, "there is no such file", name)
            self._move(self._at(name), folder._at(to))

    def drop(self) -> None:
        with self._told(""), suppress(FileNotFoundError):
            self._fs.rm(self._root, recursive=True)
            self._made = self._objects

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Turn whatever a driver raises into OSError, of one line."""
        try:
            yield
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, _first_line(error), self._named(name)) from error
        except OSError as error:
            what = error.strerror or _first_line(error)
            raise OSError(_code(error), what, self._named(name)) from error
        except Exception as error:
            what = f"{type(error).__name__}: {_first_line(error)}"
            raise OSError(errno.EIO, what, self._named(name)) from error

    def _named(self, name: str) -> str:
        return f"{self.url}/{name}".rstrip("/")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _code(error: OSError) -> int:
    by_kind = (code for kind, code in _CODES.items() if isinstance(error, kind))
    return error.errno or next(by_kind, errno.EIO)
