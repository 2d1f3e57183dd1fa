"""One life of a run that may be killed at any operation on its files.

    python tests/faults/life.py FOLDER MOMENT CONFIG RUN_DIR [--resume]

Runs the config, whose plugins may be modules of the current folder, and kills this process with
SIGKILL at its operation number MOMENT on files below FOLDER; never if that is negative.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import doubles
import numpy as np
import pyarrow.parquet as pq

from gapcast import GapcastError, load_config, run
from gapcast.engine.run.bounds import Bounds

KEY = ["time", "sensor", "quantity", "model", "horizon"]
SPANS = [
    {"from": "2004-03-01T20:00:00Z", "to": "2004-03-02T06:00:00Z"},
    {"from": "2004-03-02T06:00:00Z", "to": "2004-03-02T18:00:00Z"},
]


def script() -> list[tuple[float, str, str, float]]:
    """Sixty hours of five sensors with gaps, duplicates, late, strange and rejected readings."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(120):
        for s in "12345":
            if rng.random() > 0.1:
                value = 20 + int(s) + 3 * np.sin(i / 7.6) + rng.normal(0, 0.1)
                rows.append((30.0 * i, s, "temperature", float(value)))
        if i % 20 == 10:
            rows += [rows[-1], (30.0 * (i - 5), "1", "temperature", 1.0)]
            rows += [(30.0 * i, "9", "temperature", 1.0), (30.0 * i + 1, "2", "temperature", 122.0)]
    return rows


def config(backend: dict[str, object], joint: bool = True) -> dict[str, object]:
    """Blackouts, several models and horizons, checkpoints as often as can be.

    joint: with a model that keeps all targets in one shard, in a network that grows from nobody.
    """
    source = {"type": "doubles:Unannounced", "known": []} if joint else {"type": "doubles:Played"}
    together = {"joint": {"type": "gapcast.engine.testing.reference:Joint"}} if joint else {}
    return {
        "name": "faults",
        "source": source | {"script": "faults", "at_once": 9},
        "network": {} if joint else {"sensors": [1, 2, 3, 4, 5]},
        "grid": {"interval": "30min"},
        "limits": {"temperature": {"max": 60}},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "evaluation": {"mode": "blackout", "spans": SPANS},
        "models": {
            "last": {"type": "persistence", "horizons": [0, 3]},
            "ema": {"type": "ema"},
            "rls": {"type": "rls"},
            "spatial": {"type": "spatial-rls"},
        }
        | together,
        "sinks": {"files": {"type": "files", "shared": True}},
        "checkpoint": {"interval": "1us"},
        "backend": backend,
    }


def at_operation(folder: Path, moment: int, act: Callable[[], None]) -> None:
    """Call `act` before operation number `moment` on files below `folder`, once."""
    left = moment

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if left < 0 or event not in ("open", "os.rename", "os.mkdir", "os.remove"):
            return
        if any(str(a).startswith(str(folder)) for a in arguments if isinstance(a, str | Path)):
            left -= 1
            if left < 0:
                act()

    sys.addaudithook(watch)


OFTEN = Bounds(epoch_seconds=0.0)
"""An epoch a frame."""


def die() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def set_stage() -> None:
    """What every life needs: the readings."""
    doubles.SCRIPTS["faults"] = {"a": script()}


def left_behind(folder: Path) -> dict[str, object]:
    """Everything a finished run has left that must not depend on how it got there."""
    forecasts = pq.read_table(folder / "forecasts", partitioning=None)
    order = [(name, "ascending") for name in KEY]
    early = folder / "ahead"
    ahead = pq.read_table(early, partitioning=None) if early.exists() else forecasts.slice(0, 0)
    windows = pq.read_table(folder / "scores_by_window")
    letters = pq.read_table(folder / "dead_letters")
    return {
        "forecasts": forecasts.sort_by(order).to_pylist(),
        "ahead": ahead.sort_by(order).to_pylist(),
        "scores": (folder / "scores.csv").read_text(),
        "gaps": (folder / "scores_by_gap.csv").read_text(),
        "windows": sorted(map(str, windows.to_pylist())),
        "dead letters": sorted(map(str, letters.to_pylist())),
        "counts": json.loads((folder / "manifest.json").read_text())["counts"],
    }


def main() -> None:
    """Live."""
    folder, moment = Path(sys.argv[1]), int(sys.argv[2])
    set_stage()
    at_operation(folder, moment, die)
    written, run_dir, *more = sys.argv[3:]
    sys.path.insert(0, os.getcwd())
    try:
        result = run(load_config(written), Path(run_dir), resume="--resume" in more, bounds=OFTEN)
    except GapcastError as error:
        sys.exit(str(error))
    print(f"forecasts {result.forecasts}")


if __name__ == "__main__":
    main()
