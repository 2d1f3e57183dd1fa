"""``gapcast dead-letters``: what a run did not use, and what of it can be read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import typer

from gapcast.engine.cli.lazy import PLAIN
from gapcast.engine.errors import RunError
from gapcast.engine.output.unused import general
from gapcast.engine.readings import DEAD_LETTERS, plain
from gapcast.engine.run.manifest import NAME
from gapcast.engine.spelling import printable
from gapcast.engine.storage import replace

app = typer.Typer(
    no_args_is_help=True, help="List what a run did not use; write what can be read again.", **PLAIN
)

RunDir = Annotated[Path, typer.Argument(help="The run's folder.")]
LETTERS = plain(DEAD_LETTERS)
READING = ["time", "sensor", "quantity", "value"]


@app.command("list")
def list_(
    run_dir: RunDir,
    raw: Annotated[
        bool, typer.Option("--raw", help="Also each record that could not be read, and its place.")
    ] = False,
) -> None:
    """How many dead letters there are, by reason and partition."""
    counts: Counter[tuple[str, str]] = Counter()
    for letters in _letters(run_dir):
        reasons = general(letters["reason"])
        counts.update(zip(reasons.to_pylist(), letters["partition"].to_pylist(), strict=True))
    for (reason, partition), number in sorted(counts.items(), key=lambda c: (-c[1], c[0])):
        typer.echo(printable(f"{number:>12,}  {reason}  ({partition})"))
    typer.echo(f"{counts.total():>12,}  in all")
    for letters in _letters(run_dir) if raw else ():
        for letter in letters.filter(letters["raw"].is_valid()).to_pylist():
            place = f"{letter['partition']}:{letter['offset']}"
            typer.echo(printable(f"{place}  {letter['reason']}  {_shown(letter['raw'])}"))


@app.command()
def redrive(
    run_dir: RunDir,
    out: Annotated[Path, typer.Option(help="File to write, .parquet or .csv.")],
    reason: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Only reasons that begin so; may be given repeatedly."),
    ] = None,
) -> None:
    """Write the readings among them, in order of time, to a file that the replay source reads."""
    if out.suffix not in (".parquet", ".csv"):
        raise typer.BadParameter("--out must end in .parquet or .csv")
    if out.exists():
        raise RunError(f"{out} already exists; choose another name or remove it")
    every = pa.concat_tables([LETTERS.empty_table(), *_letters(run_dir)])
    chosen = _chosen(every, reason or [])
    read = chosen["offset"].is_valid()
    readings = chosen.filter(pc.and_(read, _whole(chosen))).select(READING)
    _write(readings.sort_by("time"), out)
    typer.echo(f"{len(readings):,} readings are in {out}")
    unread = pc.sum(pc.and_(read, pc.invert(_whole(chosen)))).as_py() or 0
    if unread:
        typer.echo(
            f"{unread:,} are not complete readings; gapcast dead-letters list {run_dir} --raw "
            "shows those that could not be read"
        )
    if rejected := len(chosen) - len(readings) - unread:
        typer.echo(f"{rejected:,} are forecasts that a sink rejected, and stay where they are")


def _letters(run_dir: Path) -> Iterator[pa.Table]:
    """The dead letters of a run, a file at a time, in their order."""
    import pyarrow.parquet as pq

    if not (run_dir / NAME).exists():
        raise RunError(f"{run_dir} is not the folder of a run: there is no {NAME}")
    for path in sorted((run_dir / "dead_letters").glob("part-*.parquet")):
        try:
            yield pq.read_table(path).select(LETTERS.names).cast(LETTERS)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise RunError(f"{path} cannot be read: {error}") from None


def _chosen(letters: pa.Table, reasons: Sequence[str]) -> pa.Table:
    if not reasons:
        return letters
    there = sorted(letters["reason"].unique().to_pylist())
    for reason in reasons:
        if not any(known.startswith(reason) for known in there):
            raise RunError(
                f"no dead letter has a reason that begins with {reason!r}; there are: "
                f"{'; '.join(there) or 'none'}"
            )
    wanted = [known for known in there if known.startswith(tuple(reasons))]
    return letters.filter(pc.is_in(letters["reason"], pa.array(wanted, pa.string())))


def _whole(letters: pa.Table) -> pa.ChunkedArray:
    """Whether all that makes a reading is known."""
    valid = letters["time"].is_valid()
    for name in READING[1:]:
        valid = pc.and_(valid, letters[name].is_valid())
    return valid


def _write(readings: pa.Table, out: Path) -> None:
    def fill(file: BinaryIO) -> None:
        if out.suffix == ".csv":
            from pyarrow.csv import write_csv

            write_csv(readings, file)
        else:
            import pyarrow.parquet as pq

            pq.write_table(readings, file, store_schema=False)

    try:
        replace(out, fill)
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror or error}") from None


def _shown(raw: bytes) -> str:
    """The beginning of a record, on one line."""
    text = raw.decode("utf-8", errors="backslashreplace")
    return repr(text[:200])[1:-1] + ("..." if len(text) > 200 else "")
