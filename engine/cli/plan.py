"""``gapcast plan``: what a config would need for a network of another size."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gapcast.engine.config import RunConfig, load_config
from gapcast.engine.planning.costs import Costs, measured
from gapcast.engine.planning.needs import SPARE, Needs, Size, needs
from gapcast.engine.units import MICROSECONDS

PER = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def plan(
    config: Annotated[Path, typer.Argument(help="The config, a YAML file.")],
    sensors: Annotated[
        float, typer.Option(help="Targets of the network, such as 1e6.", min=1)
    ] = 10_000,
    rate: Annotated[
        str | None,
        typer.Option(help="Readings of each: 1Hz, 6/min, 4/h. Default: one a step."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. grid.interval=1h."),
    ] = None,
) -> None:
    """Measure the models and the grid of a config on this machine for some seconds, and say what a
    network of that size needs: cores, memory, network, disk, and what is used up first.

    How it is reckoned, and where it was checked, is in docs/scale.md.
    """
    checked = load_config(config, settings or ())
    interval = checked.grid.interval / MICROSECONDS["s"]
    size = Size(sensors, 1 / interval if rate is None else _per_second(rate), interval)
    notes = Console(stderr=True)
    with notes.status("measuring") as status:
        costs = measured(checked, lambda what: status.update(f"measuring {what}"))
    parallel = _parallel(checked)
    found = needs(costs, size, parallel)
    out = Console()
    out.print(_costs(costs), _needs(size, found), sep="\n\n")
    out.print("\n" + _verdict(found, parallel), soft_wrap=True, highlight=False, markup=False)


def _parallel(config: RunConfig) -> bool:
    """Whether workers can store their own rows."""
    from gapcast.engine.sink import ParallelSink, Receives

    to = [s.plugin for s in config.sinks.values() if s.plugin.receives is Receives.FORECASTS]
    return bool(to) and config.serve is None and all(issubclass(s, ParallelSink) for s in to)


def _per_second(rate: str) -> float:
    """Readings a second of a rate as it is written."""
    found = re.fullmatch(r"([0-9.eE+-]+) ?(?:(Hz)|/ ?(s|min|h|d))", rate.strip())
    try:
        number = float(found[1]) if found else 0.0
    except ValueError:
        number = 0.0
    if found is None or not 0 < number < float("inf"):
        raise typer.BadParameter(f"--rate: expected 1Hz, 6/min, 4/h or 1/d, got {rate!r}")
    return number / PER[found[3] or "s"]


def _costs(costs: Costs) -> Table:
    table = _table("measured on this machine, one core")
    table.add_row("a reading judged and gridded", f"{costs.reading * 1e9:,.0f} ns")
    table.add_row("a step of one target, all models", f"{costs.step * 1e6:,.2f} µs")
    table.add_row("a row made and stored", f"{costs.row * 1e9:,.0f} ns")
    table.add_row("rows of a target and step", f"{costs.rows}")
    table.add_row("state of a target", _bytes(costs.state))
    return table


def _needs(size: Size, found: Needs) -> Table:
    title = f"{size.sensors:,.0f} targets, {size.sensors * size.rate:,.0f} readings/s"
    table = _table(title)
    table.add_row("coordinator", f"{found.coordinator:,.2f} cores")
    table.add_row("  memory", _bytes(found.coordinator_memory))
    table.add_row("workers", f"{found.workers:,.2f} cores")
    table.add_row("  memory, all of them", _bytes(found.worker_memory))
    table.add_row("network, to and from workers", f"{_bytes(found.network)}/s")
    table.add_row("rows on disk", f"{_bytes(found.disk)} a day")
    table.add_row("a checkpoint", _bytes(found.checkpoint))
    return table


def _table(title: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, title=title, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    return table


def _verdict(found: Needs, parallel: bool) -> str:
    """What is used up first."""
    cores = len(os.sched_getaffinity(0))
    whole = found.coordinator + found.workers
    memory = found.coordinator_memory + found.worker_memory
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = [f"Cores are reckoned at {SPARE:.0%} of their time; decoding readings is not in it."]
    if memory > there:
        lines.append(
            f"Memory is used up first: {_bytes(memory)} are needed, this machine has "
            f"{_bytes(there)}. More machines help (backend dask or spark), or a model with a "
            "smaller state."
        )
    elif whole <= cores:
        lines.append(f"This machine has {cores} cores: backend local is enough.")
    elif found.coordinator <= 1:
        lines.append("The models are used up first: more workers help (backend dask or spark).")
    else:
        lines.append(
            "The coordinator is used up first: one of them has time for about "
            f"{found.sensors:,.0f} targets. Divide the network into several runs."
        )
    if not parallel:
        lines.append("Rows are made by the coordinator: a sink of this config is not parallel.")
    return "\n".join(lines)


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
