"""``gapcast run``: runs a config, then says how good each model was and where everything is."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gapcast.engine.config import RunConfig, load_config
from gapcast.engine.forecaster import Floats
from gapcast.engine.metrics import METRICS, Metric
from gapcast.engine.output.unused import many, summary
from gapcast.engine.redaction import mask
from gapcast.engine.run.loop import RunResult
from gapcast.engine.run.resuming import carried
from gapcast.engine.serve.running import run as run_config

INTERRUPTED = 130
UNUSED = 3
"""Exit code of ``--strict``."""
REASONS = 5
"""So many of the most frequent reasons are told."""
MOST_REPORTED = 20_000_000
"""Of more forecasts no report is made unasked: reading them takes a while."""


def run(
    config: Annotated[Path, typer.Argument(help="The config, a YAML file.")],
    backend: Annotated[
        str | None, typer.Option(help="Run on this backend instead of the config's.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder for what the run leaves; a new one in runs/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --run-dir.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="With --resume: say what would go on, begin or be rejected, no more."
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. grid.interval=1h."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 3 when more than 1 % of the readings are unused."),
    ] = False,
) -> None:
    """Run a config and score its models."""
    overrides = [*(settings or ()), *([f"backend.type={backend}"] if backend else ())]
    checked = load_config(config, overrides)
    if check:
        _check(checked, run_dir, resume)
        return
    notes = Console(stderr=True)
    result = _run(checked, run_dir, resume, notes)
    _report(notes, result)
    out = Console()
    if not result.complete:
        out.print(
            f"interrupted: {result.forecasts:,} forecasts and the scores so far are whole in "
            f"{result.run_dir}; go on with --run-dir {result.run_dir} --resume\n{_counts(result)}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        _warn(out, result)
        raise typer.Exit(0 if result.stopped_by == signal.SIGTERM else INTERRUPTED)
    out.print(score_table(result))
    _tell(out, config, result)
    _tell_changed(out, config, result)
    if _warn(out, result) and strict:
        raise typer.Exit(UNUSED)


def _run(config: RunConfig, run_dir: Path | None, resume: bool, notes: Console) -> RunResult:
    """Run it, and show what is being done."""
    console = any(sink.type_name == "console" for sink in config.sinks.values())
    with notes.status("starting") as status:

        def progress(doing: str) -> None:
            status.update(doing)
            if doing == "running" and console:
                status.stop()  # the console sink draws from here on

        def told(where: str) -> None:
            notes.print(where, soft_wrap=True, highlight=False, markup=False)

        return run_config(config, run_dir, progress, resume, told=told)


def _check(config: RunConfig, run_dir: Path | None, resume: bool) -> None:
    """Say what would become of the run that is resumed."""
    if not resume or run_dir is None:
        raise typer.BadParameter("is for --resume with --run-dir; gapcast check looks at a config")
    fates = carried(run_dir, config)
    table = Table(box=None, show_header=False, pad_edge=False)
    for what, how in fates:
        table.add_row(Text(what), Text(how))
    Console().print(table)
    if any(how.startswith("may not") for _, how in fates):
        raise typer.Exit(1)


def _warn(out: Console, result: RunResult) -> bool:
    """Say what was not used, if that is more than a run may pass over."""
    counts = result.counts
    if not many(counts.read, counts.used):
        return False
    head, *kinds = summary(counts.read, counts.used, result.unused[:REASONS])
    out.print(
        "\nwarning: " + "\n  ".join([head, *kinds]), soft_wrap=True, highlight=False, markup=False
    )
    return True


def _tell_changed(out: Console, config: Path, result: RunResult) -> None:
    """Say what of the source is not as it was when it was read."""
    if not result.changed:
        return
    lines = [f"  {of.partition} {of.how}" for of in result.changed[:REASONS]]
    if any(of.more for of in result.changed):
        lines.append(f"  to read on: gapcast run {config} --run-dir {result.run_dir} --resume")
    out.print(
        f"\nwarning: since they were read, {len(result.changed):,} parts of the source changed:\n"
        + "\n".join(lines),
        soft_wrap=True, highlight=False, markup=False,
    )  # fmt: skip


def _report(notes: Console, result: RunResult) -> None:
    """Write ``report.html``; a run is as good without it, so that a failure is only told."""
    trouble = f"{result.forecasts:,} forecasts are many"
    if result.forecasts <= MOST_REPORTED:
        from gapcast.engine.report import report

        try:
            report([result.run_dir])
            return
        except Exception as error:
            trouble = mask(f"{type(error).__name__}: {error}")
    notes.print(
        f"no report.html ({trouble}); gapcast report {result.run_dir} makes one",
        soft_wrap=True, highlight=False, markup=False,
    )  # fmt: skip


def score_table(result: RunResult) -> Table:
    """One row a model and horizon: errors averaged over its series."""
    several = len(set(result.scores["horizon"].to_pylist())) > 1
    table = Table("model", box=None, pad_edge=False, title_justify="left")
    shown = [metric for metric in METRICS if metric.short]
    for name in [*(["horizon"] if several else []), *(m.title for m in shown), "n", "readings/s"]:
        table.add_column(name, justify="right")
    scores = {name: result.scores[name].to_numpy() for name in result.scores.column_names}
    for model, seconds in result.model_seconds.items():
        of_model = scores["model"] == model
        for horizon in np.unique(scores["horizon"][of_model]):
            rows = of_model & (scores["horizon"] == horizon)
            means = [_mean(metric, scores[metric.name][rows]) for metric in shown]
            rate = f"{result.counts.read / seconds:,.0f}" if seconds else "-"
            first = [Text(model), str(horizon)] if several else [Text(model)]
            table.add_row(*first, *means, f"{scores['n'][rows].sum():,}", rate)
        if not of_model.any():
            table.add_row(Text(model), *["-"] * (len(table.columns) - 1))
    return table


def _mean(metric: Metric, scores: Floats) -> str:
    """Over the series that have the score."""
    told = scores[~np.isnan(scores)]
    return metric.written(told.mean()) if len(told) else "-"


def _counts(result: RunResult) -> str:
    c = result.counts
    rate = c.read / max(result.seconds, 1e-9)
    return (
        f"{c.read:,} readings in {result.seconds:.1f} s ({rate:,.0f}/s): {c.used:,} used, "
        f"{c.late:,} late, {c.duplicate:,} duplicate, {c.rejected:,} rejected, "
        f"{c.invalid:,} invalid"
    )


def _tell(out: Console, config: Path, result: RunResult) -> None:
    lines = [
        "",
        _counts(result),
        "Scores are means over the series; CRPS judges a forecast and its interval as one.",
        "readings/s counts a model's own time.",
        "",
        f"{result.run_dir}/",
        f"  forecasts/     {result.forecasts:,} rows of Parquet, partitioned by day",
        "  scores.csv     by series; also scores_by_window/, scores_by_gap.csv",
        "  dead_letters/  readings not used, why and where (none if it is not there)",
        "  report.html    all of it to look at, in any browser",
        "  manifest.json  the config as run, versions, counts",
        "",
        f"Next: edit {config} (gapcast check says what is wrong), or try "
        f"gapcast run {config} --set grid.interval=1h",
    ]
    out.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
