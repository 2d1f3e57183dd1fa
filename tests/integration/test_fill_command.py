"""``gapcast fill`` as it is called: what it says, writes, asks and leaves alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import numpy as np
import pytest

from gapcast.engine.cli import USAGE

GAPCAST = [sys.executable, "-c", "from gapcast.engine.cli import main; main()", "fill"]


def fill(folder, *arguments):
    return subprocess.run(
        [*GAPCAST, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300
    )


def made(path, form="{:02d}.03.2024;{:02d}:00", days=10):
    """A file with German dates and numbers, and a gap of six hours."""
    lines = ["Datum;Zeit;Temp (°C);Boden"]
    rng = np.random.default_rng(1)
    for i in range(24 * days):
        value = 10 + 5 * np.sin(i / 24 * 2 * np.pi) + rng.normal(0, 0.1)
        numbers = ("" if 100 <= i < 106 else f"{value:.1f}", f"{value / 2:.2f}")
        cells = (number.replace(".", ",") for number in numbers)
        lines.append(";".join([form.format(1 + i // 24, i % 24), *cells]))
    text = "\r\n".join([*lines, ""])
    path.write_bytes(text.encode("cp1252"))
    return text


def test_a_file_is_filled_beside_itself_and_what_was_understood_is_said(tmp_path):
    text = made(tmp_path / "wetter.csv")
    done = fill(tmp_path, "wetter.csv")
    assert done.returncode == 0, done.stderr
    for said in ("semicolon", "decimal comma", "cp1252", "CR LF", "'Datum' and 'Zeit'",
                 "Temp (°C) °C", "1 gap", "6 steps", "longest 6 (6h)", "6 of 6 cells",
                 "wetter.filled.csv"):  # fmt: skip
        assert said in done.stdout
    assert len(done.stdout.splitlines()) <= 11
    before = text.split("\r\n")
    after = (tmp_path / "wetter.filled.csv").read_bytes().decode("cp1252").split("\r\n")
    assert len(before) == len(after)
    for i, (one, other) in enumerate(zip(before, after, strict=True)):
        assert (one == other) == (not 101 <= i < 107)
    filled = [float(line.split(";")[2].replace(",", ".")) for line in after[101:107]]
    truth = 10 + 5 * np.sin(np.arange(100, 106) / 24 * 2 * np.pi)
    assert np.abs(np.array(filled) - truth).max() < 0.8
    assert {len(line.split(";")[2].partition(",")[2]) for line in after[101:107]} == {1}


def test_a_file_that_is_there_stays_unless_forced_and_stdout_is_the_table_alone(tmp_path):
    made(tmp_path / "a.csv")
    (tmp_path / "a.filled.csv").write_text("mine")
    done = fill(tmp_path, "a.csv")
    assert done.returncode == 1
    assert done.stderr.startswith("a.filled.csv is there already")
    assert (tmp_path / "a.filled.csv").read_text() == "mine"
    assert fill(tmp_path, "a.csv", "--force", "--bounds", "--flags").returncode == 0
    forced = (tmp_path / "a.filled.csv").read_bytes().decode("cp1252").split("\r\n")
    assert forced[0].endswith("Temp (°C)_origin;Boden_lower;Boden_upper;Boden_origin")
    assert forced[101].split(";")[6:] == ["between", "", "", "observed"]
    low, value, high = (float(forced[101].split(";")[k].replace(",", ".")) for k in (4, 2, 5))
    assert low <= value <= high
    causal = subprocess.run(
        [*GAPCAST, "a.csv", "-o", "-", "--causal"], cwd=tmp_path, capture_output=True, timeout=300
    )
    assert causal.returncode == 0
    table = causal.stdout.decode("cp1252").split("\r\n")
    assert table[0] == "Datum;Zeit;Temp (°C);Boden"
    assert not any(";;" in line for line in table)
    assert "6 of 6 cells" in causal.stderr.decode()


def test_causal_uses_nothing_that_comes_later(tmp_path):
    text = made(tmp_path / "a.csv")
    lines = text.split("\r\n")
    (tmp_path / "b.csv").write_bytes("\r\n".join([*lines[:150], ""]).encode("cp1252"))
    a, b = (fill(tmp_path, f"{n}.csv", "--causal") for n in "ab")
    assert (a.returncode, b.returncode) == (0, 0)
    one, other = ((tmp_path / f"{n}.filled.csv").read_bytes().split(b"\r\n") for n in "ab")
    assert one[:150] == other[:150]


def test_of_several_files_each_is_by_itself(tmp_path):
    made(tmp_path / "a.csv", days=6)
    (tmp_path / "b.csv").write_text("no table")
    made(tmp_path / "c.csv", days=6)
    done = fill(tmp_path, "a.csv", "b.csv", "c.csv", "--causal")
    assert done.returncode == 1
    assert done.stderr.startswith("b.csv: no column of times")
    assert (tmp_path / "a.filled.csv").read_bytes() == (tmp_path / "c.filled.csv").read_bytes()
    assert not (tmp_path / "b.filled.csv").exists()


def test_without_a_terminal_it_stops_and_names_the_option(tmp_path):
    made(tmp_path / "a.csv", "{:02d}/03/2024;{:02d}:00", days=3)
    text = (tmp_path / "a.csv").read_bytes().split(b"\r\n")
    (tmp_path / "a.csv").write_bytes(b"\r\n".join(text[:20]))
    done = fill(tmp_path, "a.csv")
    assert done.returncode == 1
    assert "--time-format decides: '%d/%m/%Y %H:%M', '%m/%d/%Y %H:%M'" in done.stderr
    assert not (tmp_path / "a.filled.csv").exists()


def test_on_a_terminal_it_asks(tmp_path):
    made(tmp_path / "a.csv", "{:02d}/03/2024;{:02d}:00", days=3)
    text = (tmp_path / "a.csv").read_bytes().split(b"\r\n")
    (tmp_path / "a.csv").write_bytes(b"\r\n".join(text[:20]))
    ours, theirs = pty.openpty()
    os.write(ours, b"2\n")
    done = subprocess.run(
        [*GAPCAST, "a.csv"], cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
        timeout=300,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert "as %m/%d/%Y %H:%M" in done.stdout.decode()
    assert "none: every cell has a value" in done.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["none.csv"], "none.csv: there is no such file", 1),
        (["a.csv", "--zone", "Mars"], "--zone 'Mars'", 1),
        (["a.csv", "--interval", "10"], "interval must be a duration", 1),
        (["a.csv", "--level", "2"], "--level must be between 0 and 1", USAGE),
        (["a.csv", "b.csv", "-o", "c.csv"], "--out names one file", USAGE),
    ],
)
def test_what_is_wrong_is_said(tmp_path, arguments, said, code):
    made(tmp_path / "a.csv")
    done = fill(tmp_path, *arguments)
    assert (said in done.stderr, done.returncode) == (True, code), done.stderr
    assert "Traceback" not in done.stderr
