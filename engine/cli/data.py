"""``gapcast data``: fetch the real measurements, or make some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gapcast.engine.cli.lazy import PLAIN

app = typer.Typer(no_args_is_help=True, help="Fetch or make data sets.", **PLAIN)


class Format(StrEnum):
    """How simulated readings are written."""

    INTEL_LAB = "intel-lab"
    PARQUET = "parquet"


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="File to write; .gz compresses text.")],
    motes: Annotated[int, typer.Option(min=1, help="Number of motes.")] = 54,
    days: Annotated[float, typer.Option(min=0.001, help="Days to simulate.")] = 9.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same file.")] = 1,
    interval: Annotated[str, typer.Option(help="Time between a mote's readings.")] = "31s",
    start: Annotated[str, typer.Option(help="Time of the first reading, UTC.")] = "2004-02-28",
    positions: Annotated[
        Path | None,
        typer.Option(help="Lines `sensor x y` in metres; motes beyond them stand at random."),
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Without faults.")] = False,
    format: Annotated[
        Format, typer.Option(help="The original's text, or a long table.")
    ] = Format.INTEL_LAB,
) -> None:
    """Make readings of a simulated lab, with the faults of the real one."""
    import numpy as np

    from gapcast.engine.data.simulate import Simulation, simulate
    from gapcast.engine.network.series import read_positions

    known = list(read_positions(positions).values()) if positions else []
    what = Simulation(
        motes=motes,
        days=days,
        seed=seed,
        interval=_duration(interval),
        start=_time(start),
        clean=clean,
        positions=np.array(known).reshape(-1, 2) if known else None,
    )
    with _progress(f"simulating {out}") as progress:
        lines = simulate(what, out, format.value, progress)
    typer.echo(f"{out}: {lines:,} lines of {motes} simulated motes, seed {seed}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="The data set: intel-lab.")],
    url: Annotated[str | None, typer.Option(help="A mirror, gzip or plain.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
) -> None:
    """Fetch a public data set and check it; run again to go on after a cut."""
    from gapcast.engine.data.fetch import DATA_SETS, fetch
    from gapcast.engine.spelling import meant

    if name not in DATA_SETS:
        known = ", ".join(DATA_SETS)
        raise typer.BadParameter(f"no data set {name!r}{meant(name, DATA_SETS)} (known: {known})")
    with _progress(f"fetching {name}") as progress:
        path = fetch(DATA_SETS[name], out, url, progress)
    typer.echo(f"{path}: complete, {DATA_SETS[name].size:,} bytes, SHA-256 as expected")


def _duration(text: str) -> int:
    from gapcast.engine.units import read_duration

    try:
        found = read_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"--interval {error}") from None
    if found <= 0:
        raise typer.BadParameter("--interval must be above 0s")
    return found


def _time(text: str) -> int:
    from pydantic import TypeAdapter, ValidationError

    from gapcast.engine.units import Time

    try:
        found: int = TypeAdapter(Time).validate_python(text)
    except ValidationError:
        raise typer.BadParameter("--start must be a time such as 2004-02-28T00:00:00Z") from None
    if found < 0:
        raise typer.BadParameter("--start must not be before 1970")
    return found


@contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr that is told the share that is done; nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda done: bar.update(task, completed=done)
