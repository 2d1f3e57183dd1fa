"""Run a config from beginning to end. The command line calls nothing else."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from gapcast.engine.config import RunConfig, redact
from gapcast.engine.errors import RunError
from gapcast.engine.flow import RunResult
from gapcast.engine.manifest import NAME, Manifest
from gapcast.engine.prepare import prepare
from gapcast.engine.warm_up import warm_up

log = logging.getLogger("gapcast.run")


def run(
    config: RunConfig,
    run_dir: Path | None = None,
    progress: Callable[[str], None] = log.info,
    resume: bool = False,
) -> RunResult:
    """Run `config` until its source ends, or until SIGINT or SIGTERM asks it to stop.

    run_dir: the folder for everything the run leaves; by default a new one below ``runs/``. It
    must not hold another run, unless `resume` says to go on with it from its newest checkpoint.
    progress: is told, in a few words, what is being done.
    Raises `GapcastError`; the manifest then says ``failed`` and why.
    """
    folder = run_dir or _new_folder(config.name)
    before = _before(folder, config, resume)
    progress("looking at the source")
    job = prepare(config, folder, before)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror}") from None
    if job.resume:
        progress("going on from the newest checkpoint")
    manifest = Manifest(folder, redact(config), job.generation)
    try:
        progress("compiling kernels (the first run only)")
        warm_up(job)
        progress("running")
        with _stopping_on_signals(job.stopping):
            result = config.backend.create().run(job)
    except BaseException as error:
        manifest.end("failed", error=f"{type(error).__name__}: {error}")
        raise
    manifest.end(
        "complete" if result.complete else "interrupted",
        counts=asdict(result.counts),
        forecasts=result.forecasts,
        seconds=round(result.seconds, 3),
    )
    return result


def _before(folder: Path, config: RunConfig, resume: bool) -> str | None:
    """The generation of the run to go on with, or None for a new one."""
    if not (folder / NAME).exists():
        if resume:
            raise RunError(f"{folder} holds no run to resume; give --run-dir the folder of one")
        return None
    if not resume:
        raise RunError(
            f"{folder} holds a run already; go on with it by --resume, choose another --run-dir "
            "or remove it"
        )
    manifest = json.loads((folder / NAME).read_text())
    if manifest["state"] == "complete":
        raise RunError(f"the run in {folder} is complete, there is nothing to resume")
    now = redact(config)
    changed = [key for key in _FIXED if manifest["config"].get(key) != now.get(key)]
    if changed:
        raise RunError(f"{folder} was begun with another {', '.join(changed)}: cannot be resumed")
    generation: str = manifest["generation"]
    return generation


_FIXED = ("name", "source", "grid", "network", "limits", "targets", "evaluation", "models")
"""Parts of a config that a run keeps from its beginning to its end."""


def _new_folder(name: str) -> Path:
    stem = f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder, n = Path("runs") / stem, 1
    while folder.exists():
        n += 1
        folder = Path("runs") / f"{stem}-{n}"
    return folder


@contextmanager
def _stopping_on_signals(stopping: threading.Event) -> Iterator[None]:
    """Set `stopping` at the first SIGINT or SIGTERM; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
