"""The backtest of a config: cases played in parallel, tables and files of what they gave."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv as pcsv

from gapcast.engine.backtesting import scores
from gapcast.engine.backtesting.cases import base, cases, ground, models
from gapcast.engine.backtesting.play import play_all
from gapcast.engine.config import RunConfig, read_config, redact
from gapcast.engine.errors import RunError
from gapcast.engine.run.manifest import versions
from gapcast.engine.run.prepare import prepare
from gapcast.engine.run.run import new_folder
from gapcast.engine.storage import replace


@dataclass(frozen=True)
class Backtested:
    """What a backtest found. scores, by_gap: schemas `BACKTEST`, `BACKTEST_BY_GAP`, as in
    ``backtest.csv`` and ``backtest_by_gap.csv`` in `folder`."""

    folder: Path
    scores: pa.Table
    by_gap: pa.Table


def backtest(
    config: RunConfig,
    out: Path | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, cases: None,
) -> Backtested:
    """Compare the models of `config`, in the settings of `backtest.grid`, by every pattern.

    out: the folder for what is found; by default a new one below ``runs/``. jobs: runs at once,
    each in a process; by default one a core. What is found does not depend on it. progress: is
    told how many of how many runs are done. Raises `GapcastError`.
    """
    folder = out or new_folder(f"{config.name}-backtest")
    if (folder / "backtest.csv").exists():
        raise RunError(f"{folder} already holds a backtest; choose another folder or remove it")
    plain, names = base(config), list(models(config))
    with TemporaryDirectory(prefix="gapcast-") as scratch:
        job = prepare(read_config(plain | {"evaluation": {}}), Path(scratch))
        try:
            where = ground(config, job)
        finally:
            job.source.close()
    wanted = cases(config, where)
    done = iter(range(1, len(wanted) + 1))
    progress(0, len(wanted))
    played = play_all(
        [plain | {"evaluation": dict(case.evaluation)} for case in wanted],
        jobs or len(os.sched_getaffinity(0)),
        lambda i: progress(next(done), len(wanted)),
    )
    tables = [
        scores.table(wanted, [p[i] for p in played], config.backtest.seed, names, schema)
        for i, schema in enumerate((scores.BACKTEST, scores.BACKTEST_BY_GAP))
    ]
    found = Backtested(folder, *tables)
    about = {
        "config": redact(config),
        "versions": versions(),
        "span": where.times(where.start, where.stop),
        "cases": [vars(case) for case in wanted],
    }
    _write(found, json.dumps(about, indent=2) + "\n")
    return found


def _write(found: Backtested, about: str) -> None:
    try:
        found.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{found.folder} cannot be made: {error.strerror}") from None
    replace(found.folder / "backtest.json", lambda file: file.write(about.encode()))
    replace(found.folder / "backtest_by_gap.csv", partial(pcsv.write_csv, found.by_gap))
    replace(found.folder / "backtest.csv", partial(pcsv.write_csv, found.scores))
