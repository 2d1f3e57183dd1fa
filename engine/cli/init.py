"""``gapcast init``: data of one's own in, a config that runs out."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

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
from gapcast.engine.redaction import mask
from gapcast.engine.spelling import printable

What = Annotated[
    str,
    typer.Argument(
        metavar="FILE|FOLDER|ADDRESS",
        help="A table, a folder of such, kafka://HOST:PORT/TOPIC or mqtt://HOST:PORT/TOPIC.",
    ),
]
Out = Annotated[str, typer.Option("--out", "-o", help="File to write; - is stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Seconds = Annotated[
    float, typer.Option(min=0.1, help="How long messages of a broker are looked at.")
]


def init(
    what: What,
    out: Out = "run.yaml",
    force: Force = False,
    seconds: Seconds = 5.0,
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
    """Look at data, and write a config that `gapcast run` takes as it is.

    Says what it understood. Where it is not sure, it says so on stderr and in a comment at the key.
    """
    from gapcast.engine.drafting import address, tables
    from gapcast.engine.filling.api import duration
    from gapcast.engine.storage import replace

    target = None if out == STDOUT else writable(Path(out), force)
    asked = asked_of(time, time_format, zone, sensor, values, missing, decimal, delimiter)
    step = None if interval is None else duration(interval)
    if re.match(r"[a-z][a-z0-9+.-]*://", what):
        draft = address.draft(what, seconds, step)
    else:
        draft = tables.draft(Path(what), asked, step)
    for line in draft.lines:
        typer.echo(printable(mask(line)), err=target is None)
    for path, why in draft.unsure.items():
        typer.echo(printable(mask(f"not sure: {'.'.join(path)}: {why}")), err=True)
    text = draft.text().encode()
    if target is None:
        sys.stdout.write(text.decode())
        return
    try:
        replace(target, lambda file: file.write(text))
    except OSError as error:
        raise cannot_write(target, error) from None
    typer.echo(printable(f"  written   {target}: gapcast check {target}, gapcast run {target}"))
