"""From a checked config to a `Job`: opens the source, finds the series, lays out the models."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from gapcast.engine.checkpoint.contents import Contents
from gapcast.engine.checkpoint.format import Snapshot, newest
from gapcast.engine.checkpoint.schedule import CheckpointSchedule, folder_of
from gapcast.engine.config import RunConfig, redact
from gapcast.engine.config.model import Grid as GridSection
from gapcast.engine.config.model import Targets
from gapcast.engine.config.screen import ScreenSection
from gapcast.engine.errors import RunError, SourceError
from gapcast.engine.forecaster import Model, Series, State
from gapcast.engine.grid.frames import Joined
from gapcast.engine.grid.screening import ScreeningSpec
from gapcast.engine.grid.spec import Circular, GridSpec
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.names import unpacked
from gapcast.engine.network.series import Network, natural, read_positions
from gapcast.engine.run import derivations as deriving
from gapcast.engine.run import inputs as reading
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.run.inputs import Input
from gapcast.engine.run.job import Job
from gapcast.engine.run.renewing import renewed
from gapcast.engine.shard.derived import Link
from gapcast.engine.shard.evaluation import Evaluation, Gaps, spans_of
from gapcast.engine.shard.plan import with_arrays
from gapcast.engine.shard.shard import migrated
from gapcast.engine.shard.vectors import ByVector
from gapcast.engine.sink import FLAGS
from gapcast.engine.source import Source
from gapcast.engine.spelling import meant
from gapcast.engine.storage import Folder
from gapcast.engine.units import MICROSECONDS

log = logging.getLogger("gapcast.prepare")

WINDOW = MICROSECONDS["d"]
"""Scores are also given for windows of this length, in microseconds."""

LATENCY, LIVE_LATENCY = 1.0, 0.05
"""Seconds for which rows wait for others where the config does not say, and of a live source."""

Choose = Callable[[Folder], tuple[int, Snapshot] | None]
"""Finds one of the checkpoints in a folder, with its number."""


def prepare(
    config: RunConfig,
    run_dir: Path,
    generation: str | None = None,
    bounds: Bounds | None = None,
    choose: Choose = newest,
) -> Job:
    """Resolve `config` into a job whose outputs go to `run_dir`.

    generation: that of the run in `run_dir` to go on with, from its newest whole checkpoint, or
    from the beginning if there is none. bounds: instead of those that ship. choose: finds the
    checkpoint in its folder, if not the newest is wanted.
    Raises RunError when the source has nothing that the config asks for.
    """
    models = models_of(config)
    inputs = reading.named(config, models)
    source = config.source.create()
    own = generation or uuid4().hex
    schedule = _schedule(config, run_dir, own)
    before = _chosen(schedule.folder, choose) if generation else None
    known = unpacked(before[1].series) if before and before[1].series else None
    began = before[1].job["began"] if before and known is not None else None
    network, links = _network(config, source, models, inputs, known, began)
    models = tuple(deriving.through(model, links, config) for model in models)
    targeted = partial(_targeted, config.targets)
    targets = _targets(config.targets, network, source.live)
    reading.check_hidden(inputs, config, targets)
    grid = grid_of(config.grid)
    if {*grid.periods} & {*config.targets.quantities}:
        models = tuple(_by_vector(model, grid.periods) for model in models)
    log.info("%d series, %d targets, %d models", len(network.series), len(targets), len(models))
    job = Job(
        name=config.name,
        run_dir=run_dir,
        generation=own,
        source=source,
        grid=grid,
        limits=_limits(config),
        screen=_screening(config.screen, network, grid),
        idle=config.grid.idle / MICROSECONDS["s"],
        network=network,
        targets=targets,
        targeted=targeted,
        models=models,
        layouts=tuple(lay_out(network, targets, model, grid.interval) for model in models),
        evaluation=_evaluation(config, grid),
        window=WINDOW,
        checkpoint=schedule,
        latency=_latency(config, source),
        sinks={name: chosen.create() for name, chosen in config.sinks.items()},
        bounds=bounds or Bounds(),
        sections=redact(config)["models"],
        began=len(network.series) if began is None else began,
    )  # fmt: skip
    if before:
        _go_on(job, config, *before)
    return job


def look(config: RunConfig) -> Mapping[str, str]:
    """What a run of `config` would understand of its source, at a first look (see `Source.look`).

    Raises SourceError where the run would.
    """
    models = models_of(config)
    quantities = _asked(config, models, reading.named(config, models))
    asked = not (config.network.sensors or config.network.positions)
    for link in deriving.candidates(config, asked).values():
        quantities |= {link.value, link.companion}
    return config.source.create().look(quantities, config.targets.quantities)


def models_of(config: RunConfig) -> tuple[Model, ...]:
    """The models of a config, each with a forecaster of its own."""
    return tuple(
        Model(name, chosen.create(), chosen.horizons, chosen.level, chosen.role == "shadow")
        for name, chosen in config.models.items()
    )


def _asked(config: RunConfig, models: Iterable[Model], inputs: Iterable[Series]) -> set[str]:
    """The quantities that targets, models and inputs name."""
    needed = (model.forecaster.needs().quantities for model in models)
    return {*config.targets.quantities}.union(*needed, (s.quantity for s in inputs))


def _by_vector(model: Model, periods: Mapping[str, float]) -> Model:
    """`model` as it forecasts quantities that begin anew."""
    return replace(model, forecaster=ByVector.of(model.forecaster, periods))


def grid_of(grid: GridSection) -> GridSpec:
    """The grid that a section says."""
    offset, calendar = grid.placed
    aggregate = grid.aggregate
    return GridSpec(
        interval=grid.interval,
        offset=offset,
        nearest=grid.align == "nearest",
        lateness=grid.lateness,
        aggregate=aggregate
        if isinstance(aggregate, str)
        else {
            q: how if isinstance(how, str) else Circular(how.circular)
            for q, how in aggregate.items()
        },
        duplicates=grid.duplicates,
        future=grid.future,
        **({} if grid.max_gap is None else {"max_gap": grid.max_gap // grid.interval}),
        earliest=grid.earliest,
        calendar=calendar,
    )


def _latency(config: RunConfig, source: Source) -> float:
    """Seconds for which rows may wait for others."""
    asked = config.delivery.latency
    if asked is None:
        return LIVE_LATENCY if source.live else LATENCY
    return asked / MICROSECONDS["s"]


def _schedule(config: RunConfig, run_dir: Path, generation: str) -> CheckpointSchedule:
    return CheckpointSchedule(
        folder_of(run_dir, config.checkpoint.path, config.name, generation),
        config.checkpoint.interval / MICROSECONDS["s"],
        config.checkpoint.keep,
    )


def _evaluation(config: RunConfig, grid: GridSpec) -> Evaluation:
    of = config.evaluation
    spans = spans_of([(s.start, s.end, s.sensors) for s in of.spans], grid)
    return Evaluation(of.hide, of.release == "end", spans, of.sensors, _gaps(config))


def _gaps(config: RunConfig) -> Gaps | None:
    gaps = config.evaluation.gaps
    return Gaps(gaps.share, *gaps.steps, gaps.seed) if gaps else None


def _limits(config: RunConfig) -> dict[str, tuple[float, float]]:
    return {
        quantity: (
            -math.inf if limit.min is None else limit.min,
            math.inf if limit.max is None else limit.max,
        )
        for quantity, limit in config.limits.items()
    }


def _screening(how: ScreenSection, network: Network, grid: GridSpec) -> ScreeningSpec | None:
    """What is screened: by default all but directions, whose values are no measure of distance, and
    inputs."""
    quantities = how.quantities
    if quantities is None and grid.periods:
        quantities = tuple(sorted({s.quantity for s in network.series} - {*grid.periods}))
    if quantities == ():
        return None
    verdicts = dict(zip(FLAGS, (how.outliers, how.stuck, how.drift), strict=True))
    return ScreeningSpec(
        how.outliers.action != "off",
        how.stuck.after,
        how.drift.after,
        how.trust,
        quantities,
        tuple(flag for flag, verdict in verdicts.items() if verdict.action == "reject"),
        how.quantities is not None,
    )


def _chosen(folder: Folder, choose: Choose) -> tuple[int, Contents] | None:
    """The chosen checkpoint in a folder, with its number."""
    found = choose(folder)
    if found is None:
        log.log(
            logging.WARNING if choose is newest else logging.INFO,
            "no intact checkpoint in %s: starting from the beginning",
            folder.url,
        )
        return None
    return found[0], Contents.of(found[1])


def _go_on(job: Job, config: RunConfig, number: int, contents: Contents) -> None:
    """Have `job` go on from a checkpoint."""
    job.resume = _resume(job, number, contents)
    job.renewed = job.resume.job["models"] != contents.job["models"]
    job.reopened = _reopened(job)
    if job.resume.layouts:
        job.layouts = with_arrays(job.layouts, job.resume.layouts)
        vars(job).pop("plan", None)
        job.grew = True
    known = {*job.network.series}
    quantities = sorted({s.quantity for s in known})
    more = [Series(s, q) for s in config.network.sensors or () for q in quantities]
    more = [s for s in more if s not in known]
    if more:
        log.info("%d series join", len(more))
        joined = Joined(contents.grid[0]["next"] or 0, Network.of(more).series)
        work = job.take_in(joined, job.resume.shards, job.withheld())
        held = work.withheld.snapshot()
        job.resume = replace(job.resume, shards=work.shards, withheld=held)


def _resume(job: Job, number: int, contents: Contents) -> Contents:
    """What a checkpoint holds, its states brought up to the models' versions."""
    then, now = contents.job, job.description()
    for key in ("generation", "series", "targets"):
        if then[key] != now[key]:
            raise RunError(
                f"checkpoint {number} of {job.checkpoint.folder.url} is of other {key} than the "
                "source has now"
            )
    contents = renewed(job, contents, then.get("sections", {}))
    for m, model in enumerate(job.models):
        version = contents.job["models"][model.name]
        if version != model.forecaster.state_version:
            migrate = partial(_migrate, model, version=version)
            contents = replace(contents, shards=migrated(contents.shards, m, migrate))
    return contents


def _reopened(job: Job) -> tuple[str, ...]:
    """The partitions of which the checkpoint has all that there was then, and there is more."""
    if job.resume is None:
        return ()
    ended = job.resume.ended()
    more = {of.partition for of in job.source.changed(ended) if of.more}
    return tuple(name for name in ended if name in more)


def _migrate(model: Model, state: State, version: int) -> State:
    try:
        return model.forecaster.migrate(state, version)
    except ValueError as error:
        raise RunError(f"models.{model.name}: the checkpoint's state: {error}") from None


def _network(
    config: RunConfig,
    source: Source,
    models: Sequence[Model],
    inputs: Mapping[Series, Input],
    known: Sequence[Series] | None,
    began: int | None,
) -> tuple[Network, Mapping[str, Link]]:
    """The sensors the config names, else those with a position, else those in the source, which
    is opened; and what is derived. Series of what is asked for and of what is derived. known: the
    series of a run that is gone on with, which stay in their order; began: with how many of
    them it began, which decide what is derived."""
    quantities = _asked(config, models, inputs)
    path = config.network.positions
    positions = read_positions(path) if path else {}
    sensors = config.network.sensors or tuple(positions)
    links = deriving.candidates(config, asked=not sensors)
    wanted = quantities.union(*((link.value, link.companion) for link in links.values()))
    source.open(wanted)
    joining = frozenset[str]() if sensors or inputs else frozenset(wanted)
    series = [Series(s, q) for s in sensors for q in wanted] if sensors else _found(source, joining)
    series = [s for s in series if s.quantity in wanted]
    if known is not None:
        links = deriving.found(config, links, {s.quantity for s in known[:began]})
        network = reading.network(known, positions, inputs, models)
        return replace(network, series=tuple(known), joining=joining), links
    there = any(s.quantity in config.targets.quantities for s in series)
    if not there and (series or not source.live):
        raise _other_quantities(config, source)
    if not sensors:
        reading.check_there(inputs, series, source)
    links = deriving.found(config, links, {s.quantity for s in series})
    wanted = quantities.union(*((link.value, link.companion) for link in links.values()))
    series = [s for s in series if s.quantity in wanted]
    network = reading.network(series, positions, inputs, models)
    return replace(network, joining=joining), links


def _found(source: Source, joining: Collection[str]) -> Iterable[Series]:
    """The series in a source; none where it is live and cannot tell, for they may join."""
    try:
        return source.discover()
    except SourceError as error:
        if not (source.live and joining):
            raise
        log.info("no sensor is known yet, each joins with its first reading: %s", error)
        return ()


def _other_quantities(config: RunConfig, source: Source) -> RunError:
    """The error of a source that has nothing of what is asked for. Raises SourceError when there is
    nothing at all that can be read."""
    source.close()
    source.open(None)
    there = sorted({s.quantity for s in source.discover()})
    if not there:
        return RunError("the source has no readings; see source.path")
    quantity = config.targets.quantities[0]
    shown = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
    return RunError(
        f"targets.quantities: the source has no {quantity!r}{meant(quantity, there)}, only {shown}"
    )


def _targeted(wanted: Targets, series: Series) -> bool:
    """Whether a series of the network is a target."""
    named = not wanted.sensors or series.sensor in wanted.sensors
    return series.quantity in wanted.quantities and named


def _targets(wanted: Targets, network: Network, live: bool) -> tuple[Series, ...]:
    """The targets there are. Raises RunError where one that is named is not, unless it may join."""
    for quantity in () if live and network.joining else wanted.quantities:
        there = network.sensors(quantity)
        if not there:
            there = sorted({s.quantity for s in network.series})
            raise RunError(
                f"targets.quantities: the source has no {quantity!r}{meant(quantity, there)}, only "
                f"{', '.join(there)}"
            )
        unknown = sorted(set(wanted.sensors or ()) - set(there), key=natural)
        if unknown:
            raise RunError(
                f"targets.sensors: no sensor {', '.join(unknown)} for {quantity}; there are "
                f"{len(there)}, from {there[0]} to {there[-1]}"
            )
    return tuple(s for s in network.series if _targeted(wanted, s))
