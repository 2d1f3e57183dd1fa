"""Run a config from beginning to end. The command line calls nothing else."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from gapcast.engine.checkpoint.format import numbers
from gapcast.engine.config import RunConfig, redact
from gapcast.engine.errors import RunError, ShardsLost
from gapcast.engine.output.unused import MOST_KINDS, summary
from gapcast.engine.redaction import mask
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.run.job import Job
from gapcast.engine.run.loop import RunResult, carry
from gapcast.engine.run.manifest import Manifest
from gapcast.engine.run.prepare import prepare
from gapcast.engine.run.renewing import check_epochs
from gapcast.engine.run.resuming import begun, more_since
from gapcast.engine.run.warm_up import WarmUp

log = logging.getLogger("gapcast.run")


def run(
    config: RunConfig,
    run_dir: Path | None = None,
    progress: Callable[[str], None] = log.info,
    resume: bool = False,
    bounds: Bounds | None = None,
    watch: Callable[[Job], None] = lambda job: None,
) -> RunResult:
    """Run `config` until its source ends, or until SIGINT or SIGTERM asks it to stop.

    run_dir: the folder for everything the run leaves; by default a new one below ``runs/``. It
    must not hold another run, unless `resume` says to go on with it from its newest checkpoint.
    progress: is told, in a few words, what is being done, and every second how far it is. bounds:
    instead of those that ship. watch: is given each job before it is carried: the first one, and
    those that go on for it; it may add sinks of its own to it.
    Where workers are lost with the state they held, goes on from the newest checkpoint by itself.
    Raises `GapcastError`; the manifest then says ``failed`` and why.
    """
    folder = run_dir or new_folder(config.name)
    before = begun(folder, config, resume)
    with WarmUp(progress) as warm_up:
        progress("looking at the source")
        job = prepare(config, folder, before["generation"] if before else None, bounds)
        if before:
            check_epochs(job, before["config"]["models"])
        if before and before["state"] == "complete" and not more_since(job):
            job.source.close()
            raise RunError(f"the run in {folder} is complete, there is nothing to resume")
        job.progress = lambda at: progress(str(at))
        watch(job)
        manifest = _begun(config, job)
        with _noted(manifest):
            progress("continuing from the newest checkpoint" if job.resume else "getting ready")
            warm_up.rehearse(job)
    with _noted(manifest):
        progress("running")
        result = _carried_through(config, job, watch)
        if result.complete and not result.counts.used:
            raise RunError(_nothing(result))
    manifest.end(
        "complete" if result.complete else "interrupted",
        counts=asdict(result.counts),
        unused=[asdict(kind) for kind in result.unused],
        changed=[of._replace(how=mask(of.how))._asdict() for of in result.changed[:MOST_KINDS]],
        forecasts=result.forecasts,
        seconds=round(result.seconds, 3),
    )
    return result


def _begun(config: RunConfig, job: Job) -> Manifest:
    """The manifest of a run that begins, in its folder."""
    try:
        job.run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{job.run_dir} cannot be made: {error.strerror}") from None
    return Manifest(job.run_dir, redact(config), job.generation)


@contextmanager
def _noted(manifest: Manifest) -> Iterator[None]:
    """Whatever is raised within it is how the run ended."""
    try:
        try:
            yield
        except OSError as error:  # of the machine: no mistake in gapcast or in a plugin
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise RunError(f"{what}; when this is mended, go on with --resume") from error
    except BaseException as error:
        manifest.end("failed", error=mask(f"{type(error).__name__}: {error}"))
        raise


def _carried_through(config: RunConfig, job: Job, watch: Callable[[Job], None]) -> RunResult:
    """Run the job, again from its newest checkpoint whenever its workers are lost."""
    backend, stops = config.backend.create(), _Stops(job)
    losses, since = 0, None
    try:
        with stops.on_signals():
            while True:
                try:
                    return replace(carry(stops.job, backend), stopped_by=stops.signal)
                except ShardsLost as error:
                    newest = max(numbers(job.checkpoint.folder), default=None)
                    losses, since = (losses + 1 if newest == since else 1), newest
                    if losses > job.bounds.losses:
                        raise RunError(
                            f"workers were lost {losses} times without a checkpoint in between; "
                            f"the last time: {error}"
                        ) from error
                    log.warning("%s; continuing from the newest checkpoint", error)
                again = prepare(config, job.run_dir, job.generation, job.bounds)
                watch(again)
                stops.take(again)
    finally:
        backend.close()


class _Stops:
    """Ends the job in hand at the first SIGINT or SIGTERM; a second one interrupts at once."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.signal: int | None = None

    def take(self, job: Job) -> None:
        """Take another job in hand, which goes on for the last one."""
        job.progress, self.job = self.job.progress, job
        if self.signal is not None:
            job.stopping.set()

    def stop(self, number: int, frame: FrameType | None) -> None:
        """What a signal does."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        self.job.stopping.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to signals, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self.stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _nothing(result: RunResult) -> str:
    """What to say of a run that used nothing."""
    if not result.counts.read:
        return "the source had no readings: see source.path, targets and network.sensors"
    return "\n  ".join(["no reading was used", *summary(result.counts.read, 0, result.unused)])


def new_folder(name: str) -> Path:
    """A folder below ``runs/`` that is not there yet, for a run of that name that begins now."""
    stem = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder, n = Path("runs") / stem, 1
    while folder.exists():
        n += 1
        folder = Path("runs") / f"{stem}-{n}"
    return folder
