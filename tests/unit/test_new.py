"""``gapcast new``: the package it writes can be installed, works and passes its own test."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command import gapcast
from packages import install

from gapcast.engine.cli.scaffold import KINDS, start
from gapcast.engine.errors import PluginError
from gapcast.engine.registry import Kind

ROOT = Path(__file__).parents[2]


def laid_down(folder, site):
    """Install the package in `folder` as its pyproject.toml says."""
    written = tomllib.loads((folder / "pyproject.toml").read_text())
    project = written["project"]
    (where,) = written["tool"]["setuptools"]["packages"]["find"]["where"]
    shutil.copytree(folder / where, site)
    install(site, project["name"], project["version"], project["entry-points"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_found_works_and_passes_its_test(kind, tmp_path):
    start(kind, "my-own2", tmp_path)
    folder, site = tmp_path / "gapcast-my-own2", tmp_path / "site"
    laid_down(folder, site)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from gapcast.engine.registry import Kind, Registry\n"
        f"print(Registry.installed().load(Kind.{kind.name}, 'my-own2').__name__)\n"
        "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site), "-q", "-W", "error", "tests"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("MyOwn2\n")
    assert "skipped" not in done.stdout


def test_what_is_written_is_clean(tmp_path):
    for kind in KINDS:
        start(kind, f"a-{kind}", tmp_path)
    own = [f"gapcast_a_{kind}" for kind in KINDS]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--config",
             f"{ROOT}/pyproject.toml", "--config", f"lint.isort.known-first-party={own}",
             str(tmp_path)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_says_what_it_wrote_and_what_is_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = gapcast("new", "forecaster", "mine", "--out", "here")
    assert done.returncode == 0, done.stderr
    assert "here/gapcast-mine/src/gapcast_mine/__init__.py" in done.stdout.splitlines()
    assert "pip install -e" in done.stderr
    again = gapcast("new", "forecaster", "mine", "--out", "here")
    assert again.returncode == 1
    assert again.stderr == "here/gapcast-mine already exists; choose another name or --out\n"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (Kind.FORECASTER, "My Model", "is not a valid name"),
        (Kind.FORECASTER, "ema", "already exists, from gapcast"),
        (Kind.BACKEND, "mine", "none for a backend"),
    ],
)
def test_what_cannot_be_begun(kind, name, message, tmp_path):
    with pytest.raises(PluginError, match=message):
        start(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())
