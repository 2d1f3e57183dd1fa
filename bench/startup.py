"""How long people wait: ``gapcast --help``, and the quickstart until it computes.

python bench/startup.py [--repeats 7]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import machine

ROOT = Path(__file__).parents[1]
FIRST_FRAME = """
import sys, time
from pathlib import Path
from gapcast import load_config, run
from gapcast.engine.run import loop
def first(frame, stages, workers):
    print("computing", flush=True)
    raise KeyboardInterrupt
loop._send = first
config = load_config("configs/quickstart.yaml", ["sinks={files: {type: files}}"])
try:
    run(config, Path(sys.argv[1]))
except KeyboardInterrupt:
    pass
"""


def seconds(command: list[str]) -> float:
    """Wall time of one command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    gapcast = str(Path(sys.executable).parent / "gapcast")
    with tempfile.TemporaryDirectory() as folder:
        waits = {
            "gapcast --help": lambda i: [gapcast, "--help"],
            "quickstart, until it computes": lambda i: [
                sys.executable, "-c", FIRST_FRAME, f"{folder}/first{i}",
            ],
            "quickstart, whole": lambda i: [
                gapcast, "run", "configs/quickstart.yaml", "--run-dir", f"{folder}/whole{i}",
            ],
        }  # fmt: skip
        rows: list[dict[str, object]] = []
        for name, command in waits.items():
            seconds(command(-1))
            times = [seconds(command(i)) for i in range(repeats)]
            rows.append({"what": name, "s": median(times), "min": min(times), "max": max(times)})
    facts = machine.describe("typer", "pydantic")
    machine.print_table(f"Start-up, median of {repeats} after one warm-up", facts, rows)
    machine.save("startup", facts, rows)


if __name__ == "__main__":
    main()
