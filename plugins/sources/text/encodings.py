"""Text in any encoding and with any line ends, as UTF-8 lines."""

from __future__ import annotations

import codecs
import io
from typing import Any

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PIECE = 1 << 16


def sniffed(head: bytes) -> str:
    """The encoding of a file that begins with `head`: UTF-8 if it can be, else what its byte order
    mark or its zeros say, else Windows-1252, the Latin-1 of most programs."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    if head[::2].count(0) > len(head) // 4:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def old_line_ends(head: bytes) -> bool:
    """Whether lines end by a carriage return alone."""
    return b"\r" in head and b"\n" not in head


class Transcoded(io.RawIOBase):
    """What `stream` holds in `encoding`, as UTF-8 whose lines end by a newline.

    What cannot be decoded becomes U+FFFD.
    """

    def __init__(self, stream: Any, encoding: str, old_line_ends: bool) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._old = old_line_ends
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as there is anything; see `io.RawIOBase`."""
        while not self._ready and not self._ended:
            piece = self._stream.read(_PIECE)
            self._ended = not piece
            text = self._decoder.decode(piece, final=self._ended)
            self._ready = (text.replace("\r", "\n") if self._old else text).encode()
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def close(self) -> None:
        """Close the stream, too."""
        super().close()
        self._stream.close()
