"""Runs of the kit of backends: a config on a stage, what it left, what differs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gapcast.engine.checkpoint import format as checkpoint
from gapcast.engine.config import read_config
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.run.run import run
from gapcast.engine.testing.stage import HOUR, PARTITIONS, START, Stage, StageSource

EVALUATIONS = {
    "prequential": {"mode": "prequential"},
    "each": {"hide": "each", "release": "end"},
    "each-sensor": {"hide": "each-sensor", "release": "never"},
    "together": {"hide": "together", "release": "end"},
}
SPANS = ((20, 30), (30, 44))
"""Dark steps of all but `prequential`; at the end of the first one the second begins."""
REFERENCE = {"type": "gapcast.engine.testing.reference:Reference"}

State = Mapping[str, bytes]


@dataclass
class Played:
    """How one life of a run went: its stage, its error if it had one, what it left.

    parts: rows as text, everything that must not depend on the backend. states: the arrays that
    every checkpoint has of shards, by the positions it was taken at.
    """

    stage: Stage
    error: BaseException | None
    manifest: dict[str, Any]
    parts: dict[str, list[str]]
    states: dict[str, State]
    threads: list[threading.Thread] = field(default_factory=list)
    processes: dict[int, Any] = field(default_factory=dict)

    def sound(self) -> Played:
        """Itself. Raises the error that the run ended with."""
        if self.error is not None:
            raise self.error
        return self

    def left_behind(self, patience: float) -> list[str]:
        """Threads and processes that came with the run and are there still after so many
        seconds."""
        deadline = time.monotonic() + patience
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _left(self) -> list[str]:
        threads = [f"thread {t.name}" for t in self.threads if t.is_alive()]
        return threads + [f"process {pid}" for pid, p in self.processes.items() if _runs(p)]


def play(
    config: Mapping[str, Any],
    folder: Path,
    stage: Stage,
    *,
    resume: bool = False,
    every: bool = False,
    losses: int = 3,
) -> Played:
    """Run `config` in `folder` on `stage`, an epoch a frame.

    every: take a checkpoint after every call of the source, whatever it costs. losses: of workers,
    that the run bears without a checkpoint in between.
    """
    StageSource.stage = stage
    threads, processes = set(threading.enumerate()), _children()
    error = None
    bounds = Bounds(epoch_seconds=0.0, checkpoints_beside=not every, losses=losses)
    try:
        run(read_config(config), folder, resume=resume, bounds=bounds)
    except Exception as raised:
        error = raised
    return Played(
        stage,
        error,
        json.loads((folder / "manifest.json").read_text()),
        {} if error else _parts(folder, stage),
        _states(folder / "checkpoint"),
        [t for t in threading.enumerate() if t not in threads],
        {pid: p for pid, p in _children().items() if pid not in processes},
    )


def config(
    backend: Mapping[str, Any],
    models: Mapping[str, Any],
    how: str,
    folder: Path,
    interval: str,
) -> dict[str, Any]:
    """The config of a run on a stage; positions of its sensors are written to `folder`."""
    sensors = [s for of in PARTITIONS.values() for s in of]
    folder.mkdir(exist_ok=True)
    positions = folder / "positions.txt"
    positions.write_text("".join(f"{s} {i % 3} {i // 3}\n" for i, s in enumerate(sensors)))
    evaluation: dict[str, Any] = dict(EVALUATIONS[how])
    if how != "prequential":
        bounds = [(_moment(a), _moment(b)) for a, b in SPANS]
        evaluation |= {"mode": "blackout", "spans": [{"from": a, "to": b} for a, b in bounds]}
    return {
        "name": "kit",
        "source": {"type": "gapcast.engine.testing.stage:StageSource"},
        "network": {"sensors": sensors, "positions": str(positions)},
        "grid": {"interval": "1h", "lateness": "2h"},
        "limits": {"temperature": {"max": 60}},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "evaluation": evaluation,
        "models": dict(models),
        "sinks": {"stage": {"type": "gapcast.engine.testing.stage:StageSink"}},
        "checkpoint": {"interval": interval, "keep": 1000},
        "backend": dict(backend),
    }


def same(one: Played, other: Played, what: str) -> None:
    """Assert that two runs have left the same: forecasts, scores, windows, dead letters, counts."""
    for part, rows in one.parts.items():
        found = other.parts[part]
        differing = [(a, b) for a, b in zip(rows, found, strict=False) if a != b]
        about = f"{what}: {part} differ from the reference's"
        assert not differing, f"{about}: {differing[0][1]} instead of {differing[0][0]}"
        assert len(found) == len(rows), f"{about}: {len(found)} rows instead of {len(rows)}"


def same_states(one: Played, other: Played, what: str) -> int:
    """Assert that checkpoints taken at the same positions hold the same arrays; how many did."""
    common = sorted(set(one.states) & set(other.states))
    for at in common:
        a, b = one.states[at], other.states[at]
        assert sorted(a) == sorted(b), f"{what}: the checkpoint at {at} has other arrays"
        wrong = [name for name in a if a[name] != b[name]]
        assert not wrong, f"{what}: the checkpoint at {at} has another {wrong[0]}"
    return len(common)


def once(condition: Callable[[int], bool], act: Callable[[], None]) -> Callable[[int], None]:
    """Does `act` the first time that `condition` holds."""
    done: list[int] = []

    def check(at: int) -> None:
        if not done and condition(at):
            done.append(at)
            act()

    return check


def _moment(step: int) -> str:
    text: str = pa.scalar(START + step * HOUR, pa.timestamp("us")).as_py().isoformat()
    return f"{text}Z"


def _parts(folder: Path, stage: Stage) -> dict[str, list[str]]:
    forecasts = [row for epoch in stage.epochs.values() for row in _rows(epoch)]
    counts = json.loads((folder / "manifest.json").read_text()).get("counts", {})
    parts = {"forecasts": sorted(forecasts), "counts": [f"{k} {n}" for k, n in counts.items()]}
    for name in ("scores", "scores_by_gap"):
        file = folder / f"{name}.csv"
        parts[name] = file.read_text().splitlines() if file.exists() else []
    for name in ("scores_by_window", "dead_letters"):
        there = (folder / name).exists()
        parts[name] = sorted(_rows(pq.read_table(folder / name))) if there else []
    return parts


def _rows(table: pa.Table) -> list[str]:
    """Every value exact: Python writes floats so that they can be read back."""
    return [", ".join(map(str, row.values())) for row in table.to_pylist()]


def _states(folder: Path) -> dict[str, State]:
    found: dict[str, State] = {}
    for number in checkpoint.numbers(folder):
        snapshot = checkpoint.read(folder / f"{number:08d}")
        at = json.dumps(snapshot.meta["positions"])
        found[at] = {
            name: a.tobytes() + str(a.shape).encode()
            for name, a in snapshot.arrays.items()
            if name.startswith(("shards/", "withheld/"))  # the rest is the engine's own
        }
    return found


def _children() -> dict[int, Any]:
    """Processes below this one, but Python's own, which keeps watch over shared memory."""
    import psutil  # type: ignore[import-untyped]

    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            if "multiprocessing.resource_tracker" not in " ".join(process.cmdline()):
                found[process.pid] = process
        except psutil.Error:  # gone meanwhile
            continue
    return found


def _runs(process: Any) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
