"""The bytes of a text file as UTF-8 lines to work on, and back without changing one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from gapcast.engine.errors import DataError
from gapcast.plugins.sources.files import codec_of
from gapcast.plugins.sources.text.encodings import old_line_ends, sniffed
from gapcast.plugins.sources.text.split import Bytes

_MARKS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
_LONGEST = (1 << 31) - 1
_OTHERS = {b"PK\x03\x04": "a zip archive, as spreadsheets (.xlsx) are, too: unpack it, or save the "
           "sheet as CSV", b"PAR1": "Parquet: name it .parquet", b"ARROW1": "Arrow: name it .arrow",
           b"\x89HDF": "HDF5", b"CDF": "NetCDF"}  # fmt: skip


@dataclass(frozen=True)
class Content:
    """text: UTF-8, every line ended by a newline. encoding, mark: of the file, with its byte order
    mark. codec: how it is compressed. old: lines end by a carriage return alone. open_end: the last
    line has no end."""

    text: Bytes
    encoding: str
    mark: bytes
    codec: str | None
    old: bool
    open_end: bool

    def write(self, file: BinaryIO, text: bytes) -> None:
        """Write `text` as the file was written."""
        text = text[:-1] if self.open_end else text
        text = text.replace(b"\n", b"\r") if self.old else text
        if self.encoding != "utf-8":
            text = text.decode().encode(self.encoding)
        if self.codec is None:
            file.write(self.mark + text)
            return
        packed = pa.BufferOutputStream()
        with pa.CompressedOutputStream(packed, self.codec) as stream:
            stream.write(self.mark + text)
        file.write(packed.getvalue())


def content(path: Path) -> Content:
    """What is in a file. Raises DataError where it is no text; OSError."""
    raw = path.read_bytes()
    codec = codec_of(raw)
    if codec is not None:
        raw = _unpacked(path, raw, codec)
    for begin, what in _OTHERS.items():
        if raw.startswith(begin):
            raise DataError(f"{path}: is {what}; expected text with a table")
    encoding, mark, text = _decoded(path, raw)
    if not text.strip():
        raise DataError(f"{path}: is empty; expected a table")
    if b"\0" in text:
        raise DataError(f"{path}: holds zero bytes; expected text with a table")
    old = old_line_ends(text)
    text = text.replace(b"\r", b"\n") if old else text
    open_end = not text.endswith(b"\n")
    text = text + b"\n" if open_end else text
    if len(text) > _LONGEST:
        raise DataError(f"{path}: is longer than 2 GiB; divide it")
    return Content(np.frombuffer(text, np.uint8), encoding, mark, codec, old, open_end)


def _unpacked(path: Path, raw: bytes, codec: str) -> bytes:
    try:
        with pa.CompressedInputStream(pa.BufferReader(raw), codec) as stream:
            found: bytes = stream.read()
    except OSError as error:
        cause = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be unpacked ({codec}): {cause}") from None
    return found


def _decoded(path: Path, raw: bytes) -> tuple[str, bytes, bytes]:
    """Encoding, byte order mark, and the rest in UTF-8."""
    mark: Any = next((m for m in _MARKS.values() if raw.startswith(m)), b"")
    encoding = next((e for e, m in _MARKS.items() if m == mark), "") or sniffed(raw[:65_536])
    raw = raw[len(mark) :]
    # what the first bytes do not say, all of them do; Latin-1 is a character for any byte
    for name in {encoding: 0, "utf-8": 0, "cp1252": 0, "latin-1": 0}:
        if name != encoding and encoding.startswith("utf-16"):
            break
        try:
            decoded = raw.decode(name)
        except UnicodeDecodeError:
            continue
        return name, mark, raw if name == "utf-8" else decoded.encode()
    raise DataError(f"{path}: is no {encoding}, as it begins; save it as UTF-8")
