"""The epoch log: where each epoch ends, noted before the epoch is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gapcast.engine.errors import CheckpointError
from gapcast.engine.storage import Folder, open_folder


class EpochLog:
    """Which step each epoch ends before, written down before the epoch is delivered.

    After a crash the epochs since the checkpoint are made again from it: the same epoch carries
    the same rows although batches and clocks differ. An epoch is an empty file, named by both
    numbers, for few filesystems can append to one durably. Raises CheckpointError when these
    cannot be written or listed.
    """

    def __init__(self, folder: Folder | Path) -> None:
        self.folder = open_folder(folder)
        litter = [name for name in self._names() if name.startswith(".")]
        self.folder.remove(*litter)

    def append(self, epoch: int, until: int) -> None:
        """Note, durably, that `epoch` holds the steps before `until` that none before it held."""
        try:
            self.folder.put(_name(epoch, until), lambda file: None)
        except OSError as error:
            raise CheckpointError(
                f"epoch {epoch:,} cannot be recorded in {self.folder.url}: "
                f"{error.strerror or error}"
            ) from error

    def since(self, epoch: int) -> Iterator[tuple[int, int]]:
        """(epoch, until) of the epochs noted from `epoch` on, in order.

        Raises CheckpointError when some of these have been forgotten.
        """
        noted = self._noted()
        if noted and noted[0][0] > epoch:
            raise CheckpointError(
                f"{self.folder.url} begins with epoch {noted[0][0]:,}, which is too late to go on "
                f"from epoch {epoch:,}: the checkpoints since are damaged or gone; restore one, "
                "or begin a new run"
            )
        return iter([e for e in noted if e[0] >= epoch])

    def forget(self, epoch: int) -> None:
        """Drop what was noted of epochs before `epoch`, which checkpoints stand for.

        The last one noted stays: it shows that there were some.
        """
        self.folder.remove(*(_name(*e) for e in self._noted()[:-1] if e[0] < epoch))

    def _noted(self) -> list[tuple[int, int]]:
        names = [n.partition("-") for n in self._names() if n[0].isdecimal()]
        return sorted((int(epoch), int(until)) for epoch, _, until in names)

    def _names(self) -> list[str]:
        try:
            return self.folder.names()
        except OSError as error:
            raise CheckpointError(f"{self.folder.url} cannot be listed: {error}") from error


def _name(epoch: int, until: int) -> str:
    return f"{epoch:010d}-{until}"
