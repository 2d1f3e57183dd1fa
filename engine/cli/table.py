"""What ``fill`` and ``init`` have in common: options that say what a table is, files to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gapcast.engine.errors import DataError

if TYPE_CHECKING:
    from gapcast.engine.filling.file import Asked

STDOUT = "-"
Texts = list[str] | None
Interval = Annotated[str | None, typer.Option(help="From row to row, such as 10min.")]
Time = Annotated[
    Texts, typer.Option(help="Column of the time; twice: of the date, of the time of day.")
]
TimeFormat = Annotated[
    str | None, typer.Option(help="How times are written: iso, s, ms, excel, '%d.%m.%Y %H:%M'.")
]
Zone = Annotated[str | None, typer.Option(help="Of times that do not say it: Europe/Berlin.")]
Sensor = Annotated[
    Texts, typer.Option(help="Column of the sensor, in a long table; again: of the quantity.")
]
Values = Annotated[Texts, typer.Option(help="Column of values; may come again. Default: all.")]
Missing = Annotated[
    Texts, typer.Option(help="Text or number for a missing value: --missing=-9999.")
]
Decimal = Annotated[str | None, typer.Option(help="The decimal mark: . or ,")]
Delimiter = Annotated[str | None, typer.Option(help="What is between cells: ; or tab.")]


def asked_of(
    time: Texts,
    time_format: str | None,
    zone: str | None,
    sensor: Texts,
    values: Texts,
    missing: Texts,
    decimal: str | None,
    delimiter: str | None,
) -> Asked:
    """What is asked for. Raises BadParameter."""
    from gapcast.engine.filling.file import Asked

    if decimal not in (None, ".", ","):
        raise typer.BadParameter(f"--decimal must be . or , and is {decimal!r}")
    times, sensors, columns, words = (tuple(n or ()) for n in (time, sensor, values, missing))
    mark = _mark(delimiter)
    return Asked(times, time_format, zone, sensors, columns, words, decimal, mark)


def writable(target: Path, force: bool) -> Path:
    """A file that may be written. Raises DataError where it is there, unless by `force`."""
    if target.exists() and not force:
        raise DataError(f"{target} is there already: name another with --out, or give --force")
    return target


def cannot_write(target: Path | str, error: OSError) -> DataError:
    """What to raise where a file cannot be written."""
    return DataError(f"{target} cannot be written: {error.strerror or error}")


def _mark(delimiter: str | None) -> str | None:
    mark = {"tab": "\t", "\\t": "\t", "space": " "}.get(delimiter or "", delimiter)
    if mark is not None and (
        len(mark) != 1 or not mark.isascii() or mark.isalnum() or mark in '"\n'
    ):
        raise typer.BadParameter(f"--delimiter must be one mark, or tab, and is {delimiter!r}")
    return mark
