"""The contract of files that hold a table to be filled, and the way from a file's name to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, BinaryIO

from gapcast.engine.errors import DataError
from gapcast.engine.filling.record import Mask
from gapcast.engine.forecaster import Floats, Ints

TABLES = "gapcast.tables"
"""Entry points of this group: the ending of a file's name, and a class that extends `TableFile`."""
OTHER = "txt"
"""The ending whose class reads files of any ending that none has."""
PACKED = (".gz", ".zst", ".bz2")


@dataclass(frozen=True)
class Asked:
    """What the user says of a file; what is empty or None is found.

    time: columns of the time. time_format: how times are written. zone: of times that do not say
    theirs. sensor: columns by which series of a long table differ. values: columns to fill.
    missing: texts and numbers that stand for a missing value. decimal, delimiter: marks.
    """

    time: tuple[str, ...] = ()
    time_format: str | None = None
    zone: str | None = None
    sensor: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str | None = None
    delimiter: str | None = None

    def answered(self, option: str, answer: str) -> Asked:
        """The same, with the answer to what an `Undecided` with this option left open."""
        name = option.removeprefix("--").replace("-", "_")
        return replace(self, **{name: answer if name == "time_format" else (answer,)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Rows:
    """The rows of a file that have a time, n of them, and their values.

    times: (n,) microseconds since 1970. sensors: (n,) number of each row's sensor, by natural order
    of their `names`; zeros and no names in a wide table. columns: names of the c columns of values.
    values: (n, c), NaN where there is no number. foreign: (n, c) where there is something else,
    which stays. facts: what was understood, by what it is. unused: what is not used, and why.
    """

    times: Ints
    sensors: Ints
    names: tuple[str, ...]
    columns: tuple[str, ...]
    values: Floats
    foreign: Mask
    facts: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    @property
    def gaps(self) -> Mask:
        """(n, c) the cells to be filled."""
        found: Mask = ~self.foreign & ~(abs(self.values) < float("inf"))
        return found


@dataclass(frozen=True)
class Answers:
    """(n, c) each, beside `Rows`: values, NaN where nothing is known, read in its gaps alone;
    bounds and origins, None where they are not asked for."""

    values: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    origin: list[list[str]] | None = None


@dataclass(frozen=True)
class Written:
    """How a file is written, as a run reads its rows.

    source: keys of a config's section `source` but `path`, `sensor`, `quantity`, `value` and
    `wide`. values: the columns of `Rows.columns` as `source` names them. keys: columns that say the
    series, and the different texts in each. units: of columns of values, where they are said.
    unsure: what may be otherwise, by the key that says it.
    """

    source: Mapping[str, Any]
    values: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    unsure: Mapping[str, str] = field(default_factory=dict)


class TableFile(ABC):
    """A file with a table, read once and written again with its gaps filled."""

    path: Path
    rows: Rows

    @abstractmethod
    def __init__(self, path: Path, asked: Asked) -> None:
        """Read it all, and set `path` and `rows`. Raises DataError where it cannot be read,
        Undecided where it can be in several ways."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a row stands, in words: ``line 17``."""

    def written(self) -> Written:
        """How a run reads it, for ``gapcast init``. Default: DataError, since none does."""
        raise DataError(
            f"{self.path}: a run does not read {type(self).__name__} files; save it as CSV or "
            "Parquet"
        )

    @abstractmethod
    def write(self, file: BinaryIO, answers: Answers) -> None:
        """Write the same file with `answers` in the gaps of `rows`, and nothing else changed; with
        columns of bounds and origins behind the others where they are there."""


def ending(path: Path) -> str:
    """All that comes after a file's name: ``.csv``, ``.csv.gz``."""
    packed = path.suffix if path.suffix.lower() in PACKED else ""
    return path.name.removesuffix(packed)[len(Path(path.name.removesuffix(packed)).stem) :] + packed


def open_table(path: Path, asked: Asked) -> TableFile:
    """The table in a file. Raises DataError."""
    if not path.is_file():
        why = "is a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: {why}; expected a file with a table")
    name = ending(path).lower()
    name = Path(f"x{name}").stem.removeprefix("x") if name.endswith(PACKED) else name
    known = entry_points(group=TABLES)
    found = known.select(name=name.removeprefix(".")) or known.select(name=OTHER)
    if not found:
        raise DataError(f"{path}: nothing is installed that reads it; install gapcast again")
    kind: type[TableFile] = next(iter(found)).load()
    try:
        return kind(path, asked)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
