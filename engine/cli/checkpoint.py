"""``gapcast checkpoint``: what a run could go on from, and whether it is whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gapcast.engine.checkpoint import Snapshot, numbers, read
from gapcast.engine.cli.lazy import PLAIN
from gapcast.engine.errors import CheckpointError

app = typer.Typer(no_args_is_help=True, help="List, show and verify checkpoints.", **PLAIN)

RunDir = Annotated[Path, typer.Argument(help="The run's folder.")]


@app.command("list")
def list_(run_dir: RunDir) -> None:
    """One line a checkpoint: number, when, size, epoch, state."""
    for number in _numbers(run_dir):
        place = _place(run_dir, number)
        size = sum(p.stat().st_size for p in place.iterdir())
        when = datetime.fromtimestamp(place.stat().st_mtime, UTC)
        try:
            state = f"epoch {read(place).meta['outlet']['epoch']:,}, whole"
        except CheckpointError as error:
            state = f"damaged: {error}"
        typer.echo(f"{number:>8}  {when:%Y-%m-%d %H:%M:%S}Z  {size / 2**20:>9,.1f} MiB  {state}")


@app.command()
def show(
    run_dir: RunDir,
    number: Annotated[int | None, typer.Option(help="Its number; the newest.")] = None,
) -> None:
    """What a checkpoint holds: where the source stood, what was delivered, every array."""
    chosen = _numbers(run_dir)[-1] if number is None else number
    snapshot = read(_place(run_dir, chosen))
    for key, value in _facts(snapshot).items():
        typer.echo(f"{key:<12} {value}")
    for name, array in snapshot.arrays.items():
        typer.echo(f"  {name:<40} {array.dtype!s:<8} {'x'.join(map(str, array.shape))}")


@app.command()
def verify(run_dir: RunDir) -> None:
    """Check every byte of every checkpoint; exit code 1 if one is damaged."""
    damaged = 0
    for number in _numbers(run_dir):
        try:
            read(_place(run_dir, number))
            typer.echo(f"{number:>8}  whole")
        except CheckpointError as error:
            typer.echo(f"{number:>8}  {error}")
            damaged += 1
    if damaged:
        raise typer.Exit(1)


def _facts(snapshot: Snapshot) -> dict[str, object]:
    meta = snapshot.meta
    return {
        "generation": meta["job"]["generation"],
        "models": ", ".join(f"{m} (state version {v})" for m, v in meta["job"]["models"].items()),
        "targets": f"{meta['job']['targets']:,}",
        "positions": meta["positions"],
        "counts": meta["grid"]["counts"],
        "epoch": meta["outlet"]["epoch"],
        "forecasts": f"{meta['outlet']['rows']:,}",
    }


def _place(run_dir: Path, number: int) -> Path:
    return run_dir / "checkpoint" / f"{number:08d}"


def _numbers(run_dir: Path) -> list[int]:
    found = numbers(run_dir / "checkpoint")
    if not found:
        raise CheckpointError(f"{run_dir} has no checkpoint; is it the folder of a run?")
    return found
