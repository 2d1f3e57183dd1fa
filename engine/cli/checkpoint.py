"""``gapcast checkpoint``: what a run could go on from, whether it is whole, and one more now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gapcast.engine.checkpoint.format import About, Snapshot, about, numbers, read
from gapcast.engine.checkpoint.savepoints import ask
from gapcast.engine.checkpoint.schedule import folder_of
from gapcast.engine.cli.lazy import PLAIN
from gapcast.engine.config.positions import hold
from gapcast.engine.config.secrets import fill
from gapcast.engine.errors import CheckpointError
from gapcast.engine.run.manifest import NAME
from gapcast.engine.storage import Folder

app = typer.Typer(no_args_is_help=True, help="List, show, verify and save checkpoints.", **PLAIN)

RunDir = Annotated[Path, typer.Argument(help="The run's folder.")]


@app.command("list")
def list_(run_dir: RunDir) -> None:
    """One line a checkpoint: number, when, size, epoch, what it is; verify reads all of it."""
    folder = _folder(run_dir)
    for number in _numbers(folder):
        try:
            line = _line(about(_place(folder, number)))
        except CheckpointError as error:
            line = f"damaged: {error}"
        typer.echo(f"{number:>8}  {line}")


@app.command()
def show(
    run_dir: RunDir,
    number: Annotated[int | None, typer.Option(help="Its number; the newest.")] = None,
) -> None:
    """What a checkpoint holds: where the source stood, what was delivered, every array."""
    folder = _folder(run_dir)
    chosen = _numbers(folder)[-1] if number is None else number
    snapshot = read(_place(folder, chosen))
    for key, value in _facts(snapshot, about(_place(folder, chosen))).items():
        typer.echo(f"{key:<12} {value}")
    for name, array in snapshot.arrays.items():
        typer.echo(f"  {name:<40} {array.dtype!s:<8} {'x'.join(map(str, array.shape))}")


@app.command()
def verify(run_dir: RunDir) -> None:
    """Check every byte of every checkpoint; exit code 1 if one is damaged."""
    folder = _folder(run_dir)
    damaged = 0
    for number in _numbers(folder):
        try:
            read(_place(folder, number))
            typer.echo(f"{number:>8}  whole")
        except CheckpointError as error:
            typer.echo(f"{number:>8}  {error}")
            damaged += 1
    if damaged:
        raise typer.Exit(1)


@app.command()
def save(run_dir: RunDir) -> None:
    """Ask a run in progress for a savepoint, a checkpoint that stays; prints its number once it
    is written."""
    typer.echo(ask(run_dir))


def _line(found: About) -> str:
    kind = "savepoint" if found.savepoint else "checkpoint"
    size, epoch = found.size / 2**20, found.meta["epoch"]
    return f"{found.written:%Y-%m-%d %H:%M:%S}Z  {size:>9,.1f} MiB  epoch {epoch:,}  {kind}"


def _facts(snapshot: Snapshot, found: About) -> dict[str, object]:
    meta = snapshot.meta
    return {
        "written": f"{found.written:%Y-%m-%d %H:%M:%S}Z",
        "savepoint": "yes" if found.savepoint else "no",
        "generation": meta["job"]["generation"],
        "models": ", ".join(f"{m} (state version {v})" for m, v in meta["job"]["models"].items()),
        "targets": f"{meta['job']['targets']:,}",
        "positions": meta["positions"],
        "counts": meta["grid"]["counts"],
        "epoch": meta["epoch"],
        "forecasts": f"{meta['rows']:,}",
    }


def _folder(run_dir: Path) -> Folder:
    """Where the run of `run_dir` keeps its checkpoints, as its manifest says."""
    try:
        manifest = json.loads((run_dir / NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{run_dir} is not the folder of a run: {error}") from None
    config = manifest["config"]
    written = hold({"checkpoint": {"path": config["checkpoint"].get("path")}}, str(run_dir / NAME))
    filled, _ = fill(written)
    if written.mistakes:
        raise CheckpointError(f"{run_dir / NAME}: checkpoint.path: {written.mistakes[0].message}")
    path = filled["checkpoint"]["path"]
    return folder_of(run_dir, path, config["name"], manifest["generation"])


def _place(folder: Folder, number: int) -> Folder:
    return folder / f"{number:08d}"


def _numbers(folder: Folder) -> list[int]:
    found = numbers(folder)
    if not found:
        raise CheckpointError(f"there is no checkpoint in {folder.url} yet")
    return found
