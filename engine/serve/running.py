"""A run, with the server of its config beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from gapcast.engine.config import RunConfig
from gapcast.engine.run import run as running
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.run.loop import RunResult

log = logging.getLogger("gapcast.serve")


def run(
    config: RunConfig,
    run_dir: Path | None = None,
    progress: Callable[[str], None] = running.log.info,
    resume: bool = False,
    bounds: Bounds | None = None,
    told: Callable[[str], None] = log.info,
) -> RunResult:
    """Run `config` (see `gapcast.engine.run.run.run`), and serve its page while it goes, if it has
    a section `serve`. told: is told where that is.

    Raises `GapcastError`, before the run begins where the server cannot.
    """
    if config.serve is None:
        return running.run(config, run_dir, progress, resume, bounds)
    from gapcast.engine.serve.live import Live
    from gapcast.engine.serve.notices import Notices
    from gapcast.engine.serve.server import served

    with Notices() as notices:
        live = Live(config.name, config.serve, notices)
        with served(live) as address:
            told(f"the run can be watched at {address}")
            return running.run(config, run_dir, live.telling(progress), resume, bounds, live.watch)
