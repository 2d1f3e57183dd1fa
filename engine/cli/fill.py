"""``gapcast fill``: a file with gaps in, the same file without them out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gapcast.engine.cli.table import (
    STDOUT,
    Decimal,
    Delimiter,
    Interval,
    Missing,
    Sensor,
    Time,
    TimeFormat,
    Values,
    Zone,
    asked_of,
    cannot_write,
    writable,
)
from gapcast.engine.errors import GapcastError, Undecided
from gapcast.engine.redaction import mask
from gapcast.engine.spelling import printable

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Delimited text, Parquet or Feather.")
]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", help="File to write; - is stdout. Default: NAME.filled.csv."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Causal = Annotated[bool, typer.Option("--causal", help="Fill from what was before alone.")]
Bounds = Annotated[bool, typer.Option("--bounds", help="Add columns of the interval.")]
Flags = Annotated[bool, typer.Option("--flags", help="Add columns: where each value is from.")]
Level = Annotated[float, typer.Option(help="Coverage of the interval.")]


def fill(
    files: Files,
    out: Out = None,
    force: Force = False,
    causal: Causal = False,
    bounds: Bounds = False,
    flags: Flags = False,
    level: Level = 0.9,
    interval: Interval = None,
    time: Time = None,
    time_format: TimeFormat = None,
    zone: Zone = None,
    sensor: Sensor = None,
    values: Values = None,
    missing: Missing = None,
    decimal: Decimal = None,
    delimiter: Delimiter = None,
) -> None:
    """Fill the gaps of tables, and write each as a file of the same kind and shape.

    Says what it understood, what is missing and what it filled. Cells that have a value stay as
    they are, to the letter.
    """
    from gapcast.engine.filling.api import duration
    from gapcast.engine.filling.whole import Way

    if not 0 < level < 1:
        raise typer.BadParameter(f"--level must be between 0 and 1, found {level}")
    if out is not None and out != STDOUT and len(files) > 1:
        raise typer.BadParameter("--out names one file: give one FILE, or leave it out")
    asked = asked_of(time, time_format, zone, sensor, values, missing, decimal, delimiter)
    step = None if interval is None else duration(interval)
    way, failed = Way(causal, bounds, flags, level), False
    for path in files:
        try:
            _one(path, _target(path, out, force), asked, step, way)
        except GapcastError as error:
            if len(files) == 1:
                raise
            typer.echo(printable(mask(str(error))), err=True)
            failed = True
    if failed:
        raise typer.Exit(1)


def _target(path: Path, out: str | None, force: bool) -> Path | None:
    """The file to write, None for stdout."""
    from gapcast.engine.filling.file import ending

    if out == STDOUT:
        return None
    end = ending(path)
    target = Path(out) if out else path.with_name(f"{path.name.removesuffix(end)}.filled{end}")
    return writable(target, force)


def _one(path: Path, target: Path | None, asked: Any, interval: int | None, way: Any) -> None:
    """Fill one file."""
    from gapcast.engine.filling import telling
    from gapcast.engine.storage import replace

    def say(lines: list[str]) -> None:
        for line in lines:
            typer.echo(printable(line), err=target is None)

    of = _understood(path, asked, interval)
    say([str(path), *telling.understood(of), *telling.gaps(of)])
    with _progress(f"filling {path.name}", of.work(way.causal)) as told:
        answers = of.filled(way, told)
    say(telling.outcome(of, answers))
    try:
        if target is None:
            of.file.write(sys.stdout.buffer, answers)
        else:
            replace(target, lambda file: of.file.write(file, answers))
    except OSError as error:
        raise cannot_write(target or "stdout", error) from None
    if target is not None:
        say([f"  {'written':<8}  {target}"])


def _understood(path: Path, asked: Any, interval: int | None) -> Any:
    """The record in a file; on a terminal, what is not clear is asked for."""
    from gapcast.engine.filling.api import duration
    from gapcast.engine.filling.file import open_table
    from gapcast.engine.filling.whole import whole

    while True:
        try:
            with _progress(f"reading {path.name}"):
                return whole(open_table(path, asked), interval)
        except Undecided as error:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise
            answer = _asked(error)
            if error.option == "--interval":
                interval = duration(answer)
            else:
                asked = asked.answered(error.option, answer)


def _asked(error: Undecided) -> str:
    """What a person decides."""
    typer.echo(printable(str(error)), err=True)
    for number, choice in enumerate(error.choices, 1):
        typer.echo(printable(f"  {number}  {choice}"), err=True)
    answer: str = typer.prompt(f"{error.option}", err=True)
    if answer.isdigit() and 0 < int(answer) <= len(error.choices):
        return error.choices[int(answer) - 1]
    return answer


@contextmanager
def _progress(what: str, total: int | None = None) -> Iterator[Any]:
    """A bar on stderr that is told what is done; nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, advance=done)
