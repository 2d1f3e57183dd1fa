"""A run killed with SIGKILL at any moment ends as one never killed: seeded rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROUNDS = int(os.environ.get("ROUNDS", "30"))
SEED = int(os.environ.get("SEED", "1"))


def test_killed_anywhere_a_run_ends_the_same(tmp_path):
    script = Path(__file__).with_name("rounds.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(ROUNDS), str(SEED)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    assert [r for r in rounds if r["status"] or r["failed"] or r["differs"]] == [], done.stderr[
        -2000:
    ]
    assert sum(r["kills"] + r["lost"] for r in rounds) >= ROUNDS
    assert min(sum(r["lost"] for r in rounds), sum("dask" in r["ran"] for r in rounds)) > 0
