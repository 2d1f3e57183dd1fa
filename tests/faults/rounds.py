"""Kill a run with SIGKILL at random operations on its files, again and again, then compare.

    python tests/faults/rounds.py FOLDER ROUNDS SEED

Forks a child a life from a process in which everything is imported and compiled. Prints one JSON
line a round: how many times it was killed, and what differs from the run never killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import doubles
import numpy as np
import pyarrow.parquet as pq

from gapcast.engine import outlet, read_config, run

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


def config(threads: int, at_once: int) -> object:
    """Blackouts, several models and horizons, checkpoints as often as can be."""
    return read_config(
        {
            "name": "faults",
            "source": {"type": "doubles:Played", "script": "faults", "at_once": 9},
            "network": {"sensors": [1, 2, 3, 4, 5]},
            "grid": {"interval": "30min"},
            "limits": {"temperature": {"max": 60}},
            "targets": {"sensors": "all", "quantities": ["temperature"]},
            "evaluation": {"mode": "blackout", "spans": SPANS},
            "models": {
                "last": {"type": "persistence", "horizons": [0, 3]},
                "ema": {"type": "ema"},
                "rls": {"type": "rls"},
                "spatial": {"type": "spatial-rls"},
            },
            "sinks": {"files": {"type": "files"}},
            "checkpoint": {"interval": "1us"},
            "backend": {"type": "local", "threads": threads},
        }
    )


def live(folder: Path, threads: int, moment: int | None) -> int:
    """One life of the run in a child, killed at its n-th file operation; the exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = moment

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if left is None or event not in ("open", "os.rename", "os.mkdir", "os.remove"):
            return
        if any(str(a).startswith(str(folder)) for a in arguments if isinstance(a, str | Path)):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    resume = (folder / "manifest.json").exists()
    try:
        run(config(threads, 9), folder, resume=resume)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def left_behind(folder: Path) -> dict[str, object]:
    """Everything a finished run has left that must not depend on how it got there."""
    forecasts = pq.read_table(folder / "forecasts", partitioning=None)
    order = [(name, "ascending") for name in KEY]
    windows = pq.read_table(folder / "scores_by_window")
    dead = pq.read_table(folder / "dead")
    return {
        "forecasts": forecasts.sort_by(order).to_pylist(),
        "scores": (folder / "scores.csv").read_text(),
        "gaps": (folder / "scores_by_gap.csv").read_text(),
        "windows": sorted(map(str, windows.to_pylist())),
        "dead": sorted(map(str, dead.to_pylist())),
        "counts": json.loads((folder / "manifest.json").read_text())["counts"],
    }


def main() -> None:
    """Run the rounds."""
    base, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    doubles.SCRIPTS["faults"] = {"a": script()}
    outlet.EPOCH_SECONDS = 0.0
    run(config(1, 9), base / "straight")
    expected = left_behind(base / "straight")
    chance = random.Random(seed)
    for number in range(rounds):
        folder = base / f"round-{number}"
        kills = 0
        for _ in range(chance.randint(1, 4)):
            status = live(folder, chance.randint(1, 3), chance.randint(0, 700))
            kills += status == -signal.SIGKILL
            if status != -signal.SIGKILL:
                break
        manifest = folder / "manifest.json"
        done = manifest.exists() and json.loads(manifest.read_text())["state"] == "complete"
        status = 0 if done else live(folder, chance.randint(1, 3), None)
        found = left_behind(folder) if status == 0 else {}
        differs = [key for key in expected if found.get(key) != expected[key]]
        print(json.dumps({"kills": kills, "status": status, "differs": differs}), flush=True)


if __name__ == "__main__":
    main()
