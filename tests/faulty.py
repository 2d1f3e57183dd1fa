"""A filesystem in memory on which a process dies, or the disk fills, at the n-th operation."""

from __future__ import annotations

import errno

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem


class Died(BaseException):
    """The process was killed here; nothing it does from now on has an effect."""


class Torn(MemoryFile):
    """A file that may lose its second half when the process dies as it is closed."""

    def close(self):
        try:
            Faulty.step()
        except BaseException:
            self.truncate(self.size // 2)
            raise


class Faulty(MemoryFileSystem):
    """`left` operations that change something go well; then `full` disk or sudden death."""

    protocol = "faulty"
    cachable = False
    store: dict = {}  # noqa: RUF012 - one for all, as in the class above
    pseudo_dirs = [""]  # noqa: RUF012
    left: int | None = None
    full = False

    @staticmethod
    def begin(left=None, full=False):
        """Heal; fail after so many operations."""
        Faulty.left, Faulty.full = left, full

    @staticmethod
    def clear():
        """Heal and forget everything."""
        Faulty.begin()
        Faulty.store.clear()
        Faulty.pseudo_dirs[:] = [""]

    @staticmethod
    def step(writes=True):
        """One operation. Removing things works on a full disk, too."""
        if Faulty.left is None or (Faulty.full and not writes):
            return
        Faulty.left -= 1
        if Faulty.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device") if Faulty.full else Died

    def makedirs(self, path, exist_ok=False):
        self.step()
        super().makedirs(path, exist_ok)

    def _open(self, path, mode="rb", **kwargs):
        if mode != "wb":
            return super()._open(path, mode, **kwargs)
        self.step()
        path = self._strip_protocol(path)
        self.store[path] = file = Torn(self, path)
        return file

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        AbstractFileSystem.pipe_file(self, path, value, mode, **kwargs)  # not `MemoryFileSystem`'s

    def mv(self, path1, path2, **kwargs):
        self.step()
        if path2 in self.store:
            raise FileExistsError(path2)
        self.store[path2] = self.store.pop(path1)

    def _rm(self, path):
        self.step(writes=False)
        super()._rm(path)


class Objects(Faulty):
    """The same where a file is there when all of it is, and a protocol that says so."""

    protocol = "oci"

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self.step()
        path = self._strip_protocol(path)
        self.store[path] = MemoryFile(self, path, value)


for kind in (Faulty, Objects):
    fsspec.register_implementation(kind.protocol, kind, clobber=True)
