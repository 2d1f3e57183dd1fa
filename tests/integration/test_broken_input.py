"""Bad input costs itself only: the run ends well and every reading is accounted for."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command import gapcast


def good(mote, steps=96):
    return [
        f"2004-03-{1 + i // 48:02d} {i % 48 // 2:02d}:{i % 2 * 30:02d}:00.0 {i} {mote} "
        f"{20 + mote + i % 48 / 10:.1f} 40.0"
        for i in range(steps)
    ]


BAD = {
    "binary.txt": bytes(range(256)) * 64,
    "empty.txt": b"",
    "huge-line.txt": b"2004-03-01 00:00:00.0 0 1 " + b"9" * 12_000_000 + b"\n",
    "columns.txt": b"a,b,c\n1,2\n2004-03-01 00:00:00.0\n",
    "1970.txt": b"1970-01-01 00:00:07.0 0 1 20.0 40.0\n",
    "2099.txt": b"2099-01-01 00:00:00.0 0 1 20.0 40.0\n",
    "nan.txt": b"2004-03-01 05:00:01.0 0 1 nan 40.0\n",
    "large.txt": b"2004-03-01 05:00:02.0 0 1 1e300 40.0\n2004-03-01 05:00:03.0 0 1 inf 40.0\n",
    "limits.txt": b"2004-03-01 05:00:04.0 0 1 122.153 40.0\n",
    "stranger.txt": b"2004-03-01 05:00:00.0 0 65407 20.0 40.0\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name, content in BAD.items():
        (tmp_path / "in" / name).write_bytes(content)
    lines = [line for i in range(96) for line in (good(1)[i], good(2)[i], good(3)[i])]
    (tmp_path / "in/good.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "c.yaml").write_text(
        """
name: broken
source: {type: replay, path: in, format: intel-lab}
network: {sensors: [1, 2, 3]}
grid: {interval: 30min}
limits: {temperature: {min: -20, max: 60}}
targets: {sensors: all, quantities: [temperature]}
models: {last: {type: persistence}, mean: {type: ema}}
"""
    )
    return tmp_path


def test_a_folder_of_broken_input_ends_well_and_adds_up(folder):
    done = gapcast("run", "c.yaml", "--run-dir", "out")
    assert done.returncode == 0, done.stderr
    counts = json.loads((folder / "out/manifest.json").read_text())["counts"]
    assert counts["read"] == sum(counts.values()) - counts["read"]
    assert counts["used"] == 3 * 96 + 1  # and the reading reported as missing
    assert counts["rejected"] == 1
    letters = pq.read_table(folder / "out/dead_letters").to_pylist()
    assert len(letters) == counts["invalid"] + counts["late"] + counts["rejected"]
    reasons = {}
    for letter in letters:
        reasons.setdefault(letter["partition"], set()).add(letter["reason"])
    assert set(reasons) == set(BAD) - {"empty.txt", "nan.txt"}
    assert reasons["1970.txt"] == {"time before grid.earliest"}
    assert reasons["2099.txt"] == {"time too far in the future"}
    assert reasons["stranger.txt"] == {"unknown series"}
    assert all(len(letter["raw"] or b"") <= 1024 for letter in letters)
    forecasts = pq.read_table(folder / "out/forecasts", partitioning=None).to_pylist()
    assert max(abs(r["forecast"]) for r in forecasts) < 100
    keys = {(r["time"], r["sensor"], r["model"]) for r in forecasts}
    assert len(keys) == len(forecasts)


def test_five_mistakes_are_five_lines(folder):
    (folder / "bad.yaml").write_text(
        """name: broken
source: {type: replya, path: in}
grid: {interval: 30}
limits: {temperature: {min: 60, max: -20}}
targets: {sensors: all, quantities: [temperature]}
models: {mean: {type: ema, alfa: 0.2}}
evaluation: {mode: blackout, spans: [{from: 2004-03-02, to: 2004-03-01}]}
"""
    )
    done = gapcast("check", "bad.yaml")
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "bad.yaml:2:10",
        "bad.yaml:3:8",
        "bad.yaml:4:10",
        "bad.yaml:6:28",
        "bad.yaml:7:57",
    ]
    for line, words in zip(
        lines, ("'replay'", "30s", "min is below", "'alpha'", "later than"), strict=True
    ):
        assert words in line


def test_an_interrupted_run_leaves_valid_files_and_says_so(folder):
    (folder / "c.yaml").write_text(
        (folder / "c.yaml").read_text().replace("in,", "in/good.txt, speed: 600x,")
    )
    run = subprocess.Popen(
        [Path(sys.executable).with_name("gapcast"), "run", "c.yaml", "--run-dir", "out"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    manifest = folder / "out/manifest.json"
    forecasts = folder / "out/forecasts"
    while not list(forecasts.glob("day=*/*.parquet")):
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=20)
    assert run.returncode == 130
    assert out.startswith("interrupted: ")
    said = out.strip().splitlines()
    assert len(said) == 2
    assert re.match(r"[\d,]+ readings in .*: [\d,]+ used, 0 late, ", said[1])
    stored = pq.read_table(forecasts, partitioning=None)
    assert f"{len(stored):,} forecasts" in out
    assert json.loads(manifest.read_text())["state"] == "interrupted"
