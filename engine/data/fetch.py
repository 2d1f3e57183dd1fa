"""Fetch public data sets: go on after a cut, and take nothing that is not what was meant."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gapcast.engine.errors import DataError

_PIECE = 1 << 20
_TIMEOUT = 60.0

Progress = Callable[[float], None]


@dataclass(frozen=True)
class DataSet:
    """A public file. size, sha256: of the text, unpacked if it comes as gzip."""

    name: str
    url: str
    file: str
    size: int
    sha256: str


INTEL_LAB = DataSet(
    name="intel-lab",
    url="http://db.csail.mit.edu/labdata/data.txt.gz",
    file="intel-lab.txt",
    size=150_910_946,
    sha256="21d156880db48eb140390beffc18b017282777cdc41e30e665072544ecf0913e",
)
DATA_SETS = {INTEL_LAB.name: INTEL_LAB}


def fetch(
    what: DataSet, folder: Path, url: str | None = None, progress: Progress = lambda done: None
) -> Path:
    """Put the data set into `folder`; the path of its text, size and hash of which are right.

    A text already there is checked and kept. A download that was cut stays as ``.part`` and goes
    on where it ended, if the server can. url: where to fetch from instead, gzip or plain. Raises
    DataError, in one line, when the server cannot be reached, or what came is not what was meant.
    """
    out = folder / what.file
    if out.exists():
        _check(out, what, f"{out}: remove it and fetch again: it is")
        return out
    source = url or what.url
    part = folder / (what.file + ".part")
    unpacked = folder / (what.file + ".unpacked.part")
    _make(folder)
    try:
        _download(source, part, progress)
        _unpack(part, unpacked, what)
        try:
            _check(unpacked, what, f"{source}:")
        except DataError:
            part.unlink()
            raise
        os.replace(unpacked, out)
        part.unlink()
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        unpacked.unlink(missing_ok=True)
    return out


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror or error}") from error


def _download(url: str, part: Path, progress: Progress) -> None:
    """Complete `part` from `url`. Raises DataError when that fails; what came is kept."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "gapcast"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            if answer.status != 206:
                have = 0
            whole = have + int(answer.headers.get("Content-Length") or 0)
            with open(part, "r+b" if have else "wb") as file:
                file.seek(have)
                while piece := answer.read(_PIECE):
                    have += file.write(piece)
                    progress(have / whole if whole else 0.0)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return
        raise DataError(f"{url}: the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", None) or error
        raise DataError(
            f"{url}: cannot be fetched: {cause}; look at the network, or give a mirror with --url"
        ) from error
    if whole > have:
        raise DataError(
            f"{url}: cut after {have:,} of {whole:,} bytes; run the same command again to go on"
        )


def _unpack(part: Path, out: Path, what: DataSet) -> None:
    """Write the text in `part` to `out`, or as much of it as shows that it is too long."""
    with open(part, "rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    size = 0
    try:
        with gzip.open(part) if gzipped else open(part, "rb") as packed, open(out, "wb") as text:
            while size <= what.size and (piece := packed.read(_PIECE)):
                size += text.write(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        part.unlink()
        raise DataError(f"{part}: damaged, so it was removed; fetch it again") from None


def _check(path: Path, what: DataSet, place: str) -> None:
    """Raises DataError, which begins with `place`, unless the text at `path` is `what`."""
    size = path.stat().st_size
    if size != what.size:
        raise DataError(
            f"{place} not {what.name}: {size:,} bytes of text where {what.size:,} were expected"
        )
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != what.sha256:
        raise DataError(
            f"{place} not {what.name}: SHA-256 {found} where {what.sha256} was expected"
        )
