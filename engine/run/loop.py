"""The loop of a run: turns of the source in, frames to the workers, their results to the sinks.

Everything that happens in a run happens here, in this order, on one thread; reading ahead,
stepping and writing are beside it and tell it nothing but results.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa

from gapcast.engine.backend import Backend
from gapcast.engine.checkpoint.contents import Contents
from gapcast.engine.checkpoint.schedule import Checkpoints
from gapcast.engine.grid.counts import Counts
from gapcast.engine.grid.frames import GridFrame, Joined
from gapcast.engine.grid.intake import Intake
from gapcast.engine.grid.silence import Silence
from gapcast.engine.output.dead_letters import DeadLetters
from gapcast.engine.output.delivery import SinkWriter
from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.output.epochs import Epochs
from gapcast.engine.output.outlets import Outlet, RowsHere, RowsThere
from gapcast.engine.output.rows import Rows
from gapcast.engine.output.score_files import ScoreFiles
from gapcast.engine.output.unused import Kind
from gapcast.engine.parallel.workers import Work, Workers
from gapcast.engine.progress import Meter, Progress
from gapcast.engine.run.job import Job
from gapcast.engine.shard.results import Ending, Stepped, StepResult
from gapcast.engine.shard.withheld import Withheld
from gapcast.engine.source import Change

log = logging.getLogger("gapcast.run")


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    counts: what became of every reading. scores: the whole run's, schema `SCORES`. forecasts:
    final rows delivered. seconds: wall time from the first read to the last write. model_seconds:
    time spent in each model's steps, summed over shards; 0 where series joined: what earlier
    workers spent is not known. complete: whether every source had ended. changed: what of the
    source is not as it was when it was read. stopped_by: the signal that ended it before, if one
    did.
    """

    run_dir: Path
    counts: Counts
    scores: pa.Table
    forecasts: int
    seconds: float
    model_seconds: dict[str, float]
    complete: bool
    unused: list[Kind]
    changed: list[Change] = field(default_factory=list)
    stopped_by: int | None = None


class Act(NamedTuple):
    """What is done after a turn: wait for the results on their way, end the epoch, take a
    checkpoint."""

    settle: bool
    end_epoch: bool
    checkpoint: bool


def decide(paused: bool, due: bool) -> Act:
    """What a turn asks for. paused: the source has nothing just now. due: a checkpoint is."""
    return Act(settle=paused or due, end_epoch=paused, checkpoint=due)


def carry(job: Job, backend: Backend) -> RunResult:
    """Carry a job from its source through the backend's workers to its sinks.

    Until the source ends or the job is stopping; then everything read so far is delivered, and a
    checkpoint left. Raises `GapcastError`; ShardsLost when workers are gone.
    """
    # Workers first: a process is not started safely beside the threads of sources and sinks.
    with _Crew(backend, job.work()) as crew, _opened(job, backend, crew.workers) as stages:
        began = time.monotonic()
        complete = _follow(job, stages, crew)
        changed = _changed(job, stages.intake) if complete else []
        alive, ending = crew.workers.alive(), crew.workers.finish()
        scores = _end(stages, ending)
        job.latest = _progress(stages, 0.0, alive)
        return RunResult(
            job.run_dir,
            stages.intake.grid.settled(),
            scores,
            stages.delivery.rows,
            time.monotonic() - began,
            dict(zip([m.name for m in job.models], crew.seconds(ending), strict=True)),
            complete,
            stages.dead_letters.unused.kinds,
            changed,
        )


class _Crew:
    """The workers, and others in their place when the network has grown."""

    def __init__(self, backend: Backend, work: Work) -> None:
        self._backend, self._first = backend, True
        self._held = ExitStack()
        self.workers = self._held.enter_context(backend.workers(work))

    def turn_over(self, work: Work) -> None:
        """Let the workers go and have others go on with `work`."""
        self._held.close()
        self._first = False
        self.workers = self._held.enter_context(self._backend.workers(work))

    def seconds(self, ending: Ending) -> list[float]:
        """Time spent in each model's steps by all workers, 0 where that is not known."""
        return ending.seconds if self._first else [0.0] * len(ending.seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)


@dataclass
class _Stages:
    """What a reading passes through outside the workers, in this order."""

    intake: Intake
    withheld: Withheld
    silence: Silence
    scores: ScoreFiles
    epochs: Epochs[Any]
    delivery: SinkWriter
    dead_letters: DeadLetters
    checkpoints: Checkpoints
    on_their_way: deque[Callable[[], StepResult | Stepped]] = field(default_factory=deque)
    closed: int = 0

    def add(self, result: StepResult | Stepped) -> None:
        """Take the joined result of the shards for one frame; waits when the sinks are slow."""
        self.scores.add(result)
        self.epochs.add(result)

    def settle(self) -> None:
        """Wait for the results that are on their way, and take them."""
        while self.on_their_way:
            self.add(self.on_their_way.popleft()())


def _follow(job: Job, stages: _Stages, crew: _Crew) -> bool:
    """Turn after turn, until the source ends (True) or the job is stopping (False); then a
    checkpoint, from which the run goes on if there is more one day."""
    meter = Meter(stages.intake.grid.counts.read)
    if job.renewed:
        _checkpoint(job, stages, crew.workers, wait=True)
    for turn in stages.intake.turns():
        for letters in turn.dead_letters:
            stages.dead_letters.add(letters)
        for closed in turn.closed:
            if isinstance(closed, Joined):
                _grow(job, stages, crew, closed)
                continue
            for letters in closed.dead_letters:
                stages.dead_letters.add(letters)
            _send(closed.frame, stages, crew.workers)
        if meter.due():
            rate = meter.rate(stages.intake.grid.counts.read)
            job.latest = _progress(stages, rate, crew.workers.alive())
            job.progress(job.latest)
            counts = stages.intake.grid.settled()
            if warning := stages.dead_letters.unused.warning(counts.read, counts.used):
                log.warning("%s", warning)
        act = decide(turn.paused, stages.checkpoints.due())
        if act.settle:
            stages.settle()
        if act.end_epoch:
            stages.epochs.flush()
        if act.checkpoint:
            _checkpoint(job, stages, crew.workers)
    stages.settle()
    complete = not job.stopping.is_set()
    _checkpoint(job, stages, crew.workers, wait=True)
    return complete


def _grow(job: Job, stages: _Stages, crew: _Crew, joined: Joined) -> None:
    """Have series join the network: workers go on with what they had learnt, in a larger plan."""
    stages.settle()
    work = job.take_in(joined, crew.workers.snapshot(), stages.withheld)
    _tell(job, joined)
    stages.scores.grow(job.targets)
    stages.epochs.end()
    crew.turn_over(work)
    stages.epochs.turn(_outlet(job, crew.workers, stages.silence, stages.delivery))


def _tell(job: Job, joined: Joined) -> None:
    """Log who joined."""
    names = [f"{s.sensor} ({s.quantity})" for s in joined.series[:_TOLD]]
    more = f" and {len(joined.series) - _TOLD:,} more" if len(joined.series) > _TOLD else ""
    log.info(
        "%s%s joined: %s series, %s targets",
        ", ".join(names), more, f"{len(job.network.series):,}", f"{len(job.targets):,}",
    )  # fmt: skip


def _changed(job: Job, taken: Intake) -> list[Change]:
    """What of the source is not as it was when it was read; the log says so."""
    names = taken.grid.partitions
    ended = {name: at for name, at in zip(names, taken.positions, strict=True) if at is not None}
    changed = job.source.changed(ended)
    for of in changed[:_TOLD]:
        log.warning("%s %s", of.partition, of.how)
    if len(changed) > _TOLD:
        log.warning("and %d other partitions changed", len(changed) - _TOLD)
    return changed


_TOLD = 5
"""So many partitions that changed are named in the log."""


def _send(frame: GridFrame, stages: _Stages, workers: Workers) -> None:
    """Send a frame to the workers; take the oldest result while they step it."""
    stages.withheld.add(frame)
    stages.silence.add(frame)
    stages.closed += len(frame.values)
    waiting = stages.on_their_way
    done = waiting.popleft()() if len(waiting) >= workers.ahead else None
    waiting.append(workers.step(frame))
    if done is not None:
        stages.add(done)


def _checkpoint(job: Job, stages: _Stages, workers: Workers, wait: bool = False) -> None:
    """Take a checkpoint, unless epochs that a crash cut short are still being made again."""
    if not stages.epochs.settle():
        return
    stages.dead_letters.flush()
    contents = Contents(
        job=job.description(),
        positions=list(stages.intake.positions),
        grid=stages.intake.grid.snapshot(),
        shards=workers.snapshot(),
        withheld=stages.withheld.snapshot(),
        **job.network_held(),
        epoch=stages.delivery.epoch,
        rows=stages.delivery.rows,
        scores=stages.scores.settle(),
        dead_letters=stages.dead_letters.files,
        unused=stages.dead_letters.unused.snapshot(),
        silence=stages.silence.snapshot(),
    )
    stages.checkpoints.take(contents, wait)


def _end(stages: _Stages, ending: Ending) -> pa.Table:
    """Deliver what waits and finish the scores; those of the whole run."""
    stages.scores.write_windows(ending.windows)
    stages.epochs.close(deliver=True)
    stages.scores.close()
    return stages.scores.write_whole(ending.totals, ending.by_gap)


def _progress(stages: _Stages, rate: float, workers: tuple[int, int, int]) -> Progress:
    grid, now = stages.intake.grid, time.time()
    settled, mark = asdict(grid.settled()), grid.reached
    shards, alive, there = workers
    return Progress(
        readings=grid.counts.read,
        rate=rate,
        watermark=mark,
        lag=None if mark is None else now - mark / 1e6,
        forecasts=stages.delivery.rows,
        shards=shards,
        alive=alive,
        workers=there,
        steps=stages.closed,
        epochs=stages.delivery.epoch,
        checkpoint=stages.checkpoints.last,
        moment=now,
        **{name: n for name, n in settled.items() if name != "read"},
    )


@contextmanager
def _opened(job: Job, backend: Backend, workers: Workers) -> Iterator[_Stages]:
    """The stages of a job, its sinks open, from the beginning or from where its checkpoint stands.

    Leaving it closes files, sinks and threads; what is gathered is delivered unless it is left by
    an error.
    """
    stages = _stages(job, backend, workers)
    delivered = False
    try:
        yield stages
        delivered = True
    finally:
        job.stopping.set()
        try:
            stages.epochs.close(deliver=delivered)
            stages.scores.close()
        finally:
            stages.checkpoints.close()
            stages.delivery.close()
            job.source.close()


def _stages(job: Job, backend: Backend, workers: Workers) -> _Stages:
    resume, bounds = job.resume, job.bounds
    taken = intake(job, backend.batch, backend.linger)
    for sink in job.sinks.values():
        sink.open(job.info(), job.generation)
    dead_letters = DeadLetters(
        job.run_dir / "dead_letters",
        job.sinks,
        job.stopping,
        resume.dead_letters if resume else 0,
        bounds.dead_letters,
        resume.unused if resume else (),
    )
    delivered = (resume.epoch, resume.rows) if resume else (0, 0)
    shadows = [model.name for model in job.models if model.shadow]
    delivery = SinkWriter(job.sinks, dead_letters, job.stopping, *delivered, shadows)
    log = EpochLog(job.checkpoint.folder / "epochs")
    checkpoints = Checkpoints(
        job.checkpoint, job.run_dir, log, job.source.checkpointed, bounds.checkpoints_beside
    )
    scores = ScoreFiles(
        job.targets,
        job.models,
        job.grid,
        job.window,
        job.run_dir,
        resume.scores if resume else None,
        bounds.scores,
    )
    silence = job.silence()
    seconds = job.latency if bounds.epoch_seconds is None else bounds.epoch_seconds
    outlet = _outlet(job, workers, silence, delivery)
    epochs = Epochs[Any](delivery, outlet, log, bounds.epoch_rows, seconds)
    return _Stages(
        taken, job.withheld(), silence, scores, epochs, delivery, dead_letters, checkpoints
    )


def _outlet(job: Job, workers: Workers, silence: Silence, delivery: SinkWriter) -> Outlet[Any]:
    """Where rows are made."""
    if workers.writes:
        return RowsThere(workers.prepare, silence, delivery, job.stopping)
    ahead = any(sink.stages.ahead for sink in delivery.sinks.values())
    return RowsHere(Rows(job.targets, job.models, job.grid, silence, ahead), delivery)


def intake(job: Job, batch: int, linger: float = 0.0) -> Intake:
    """What `job` reads, from the beginning or from where its checkpoint stands."""
    grid = job.gridded(job.source.partitions())
    positions = None
    if job.resume:
        positions = job.resume.positions
        for name in job.reopened:
            log.info("%s is read on: there is more since", name)
            grid.watermarks.reopen(grid.partitions.index(name))
    prompt = job.source.live
    return Intake(job.source, grid, job.idle, job.stopping, batch, linger, positions, prompt=prompt)
