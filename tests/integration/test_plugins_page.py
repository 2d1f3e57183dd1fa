"""docs/plugins.md as a reader follows it: its code, its configs, its commands."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/plugins.md").read_text()
MAIN = "import sys; sys.argv[0] = 'gapcast'; from gapcast.engine.cli import main; main()"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.fixture
def gapcast(tmp_path):
    """Runs gapcast in a folder with the page's files and the repository's data."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    (code,), (config, others) = blocks("python"), blocks("yaml")
    (tmp_path / "my_model.py").write_text(code)
    (tmp_path / "my.yaml").write_text(config)
    before, _, after = config.partition("models:\n")
    after = after[after.index("sinks:") :]
    (tmp_path / "others.yaml").write_text(before + others + after)

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", MAIN, *arguments],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.folder = tmp_path
    return run


def commands():
    (shell,) = blocks("sh")
    return [line.split()[1:] for line in shell.splitlines()]


def test_it_is_forty_lines():
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 41


def test_the_forecaster_passes_the_kit_and_beats_yesterday(gapcast):
    check, run, *others = commands()
    assert [o[-2:] for o in others] == [["--backend", "dask"], ["--backend", "spark"]]
    shown = gapcast(*check).splitlines()
    assert {line.split()[0] for line in shown} == {"ok"}
    gapcast(*run)
    (found,) = (gapcast.folder / "runs").glob("*/scores.csv")
    errors = {"mine": [], "yesterday": []}
    for row in csv.DictReader(found.read_text().splitlines()):
        errors[row["model"]].append(float(row["mse"]))
    assert sum(errors["mine"]) < sum(errors["yesterday"])


def test_the_models_of_other_libraries_are_right(gapcast):
    assert "models bayes, adam, rls, sgd" in gapcast("check", "others.yaml")
