"""A stream of bytes in blocks of whole lines, in bounded memory whatever the bytes are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gapcast.engine.readings import RAW_LIMIT
from gapcast.plugins.sources.text.split import NEWLINE, Bytes

LINE_LIMIT = 10_000_000
"""Bytes of the longest line that is read; of a longer one only the beginning is kept."""

_PIECE = 4096
_AT_ONCE = 1 << 16  # what damage in a compressed file may cost of what came before it


@dataclass(frozen=True)
class Block:
    """Whole lines, each ended by a newline.

    text: valid until the next block is asked for. A line above `LINE_LIMIT` is a block of its own,
    `long`, with its first bytes only. length: the bytes of the stream that the block stands for.
    """

    text: Bytes
    length: int
    long: bool = False

    @property
    def first_line(self) -> Block:
        """The first of its lines, alone."""
        if self.long:
            return self
        cut = int(np.argmax(self.text == NEWLINE)) + 1
        return Block(self.text[:cut], min(cut, self.length))

    def after(self, head: Block) -> Block:
        """What follows the block that it begins with."""
        return Block(self.text[len(head.text) :], self.length - head.length)


class Blocks:
    """The blocks of `stream`, a file open for reading bytes; about `size` bytes each. growing: a
    last line without its end is still being written, and left out.

    Raises OSError where the stream does, after the whole lines that came before.
    """

    def __init__(self, stream: Any, size: int, growing: bool = False) -> None:
        self._stream = stream
        self._growing = growing
        self._buffer: Bytes = np.empty(min(size, LINE_LIMIT + 1) + 1, np.uint8)
        self._filled = 0
        self._looked = 0  # in what stands before this there is no newline
        self._error: OSError | None = None

    def __iter__(self) -> Iterator[Block]:
        """The blocks from where the stream stands to its end."""
        while self._read():
            if cut := self._last_newline():
                yield Block(self._buffer[:cut], cut)
                self._drop(cut)
                self._looked = self._filled
            elif self._filled > LINE_LIMIT:
                yield self._skip()
            else:
                self._grow()
        if self._error:
            raise self._error
        if self._filled and not self._growing:
            self._buffer[self._filled] = NEWLINE
            yield Block(self._buffer[: self._filled + 1], self._filled)

    def _read(self) -> bool:
        """Fill the buffer, but for the place a last newline may need; whether anything is new."""
        room = memoryview(self._buffer)[:-1]  # type: ignore[arg-type]
        try:
            while self._filled < len(room) and self._error is None:
                got = self._stream.readinto(room[self._filled : self._filled + _AT_ONCE])
                if not got:
                    break
                self._filled += got
        except OSError as error:
            self._error = error
        return self._filled > self._looked

    def _last_newline(self) -> int:
        """The length of all whole lines in the buffer."""
        at = self._filled
        while at > self._looked:
            piece = max(self._looked, at - _PIECE)
            ends = np.flatnonzero(self._buffer[piece:at] == NEWLINE)
            if len(ends):
                return piece + int(ends[-1]) + 1
            at = piece
        self._looked = self._filled
        return 0

    def _drop(self, length: int) -> None:
        rest = self._filled - length
        self._buffer[:rest] = self._buffer[length : self._filled].copy()
        self._filled = rest

    def _grow(self) -> None:
        if self._filled == len(self._buffer) - 1:
            # Never room for more than the longest line: which lines are too long must not depend
            # on where a block begins.
            buffer = np.empty(min(2 * self._filled, LINE_LIMIT + 1) + 1, np.uint8)
            buffer[: self._filled] = self._buffer[: self._filled]
            self._buffer = buffer

    def _skip(self) -> Block:
        """Pass over the rest of the line that fills the buffer."""
        begin = self._buffer[:RAW_LIMIT].copy()
        length = 0
        while True:
            length += self._filled
            self._filled = self._looked = 0
            if not self._read():
                return Block(begin, length, long=True)
            ends = np.flatnonzero(self._buffer[: self._filled] == NEWLINE)
            if len(ends):
                self._drop(int(ends[0]) + 1)
                return Block(begin, length + int(ends[0]) + 1, long=True)
