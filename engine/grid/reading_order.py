"""Which partition is read next: decided from watermarks and answers, without reading or a clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import count


class ReadingOrder:
    """The partition furthest behind is read next; while it is silent, those ahead of it in turn.

    A partition is silent from the first answer that brings nothing until one that brings something.
    """

    def __init__(self) -> None:
        self.silent: dict[int, float] = {}
        """Since when each silent partition has answered with nothing, as told to `answered`."""
        self._asked: dict[int, int] = {}
        self._number = count()

    def next(self, behind: Sequence[int], full: bool, holds: Callable[[int], bool]) -> int | None:
        """The partition to read, or None where there is nothing to read from.

        behind: the open partitions, the one furthest behind first. full: whether so much waits in
        open steps that only those that hold these back are read. holds: which do.
        """
        eligible = self.eligible(behind, full, holds)
        if not eligible:
            return None
        partition = min(eligible, key=lambda p: self._asked.get(p, -1))
        self._asked[partition] = next(self._number)
        return partition

    def eligible(
        self, behind: Sequence[int], full: bool, holds: Callable[[int], bool]
    ) -> Collection[int]:
        """The partitions that may be read: from the furthest behind to the first not silent."""
        found: list[int] = []
        for partition in behind:
            if partition not in self.silent:
                if not (full and any(map(holds, found))):
                    found.append(partition)
                break
            found.append(partition)
        return found

    def answered(self, partition: int, something: bool, now: float) -> None:
        """Note an answer at time `now`, and whether it brought something or was the last."""
        if something:
            self.silent.pop(partition, None)
        else:
            self.silent.setdefault(partition, now)

    def silent_for(self, partition: int, now: float) -> float:
        """Seconds for which a partition has been silent; 0 if it is not."""
        return now - self.silent.get(partition, now)
