"""What is handed out: built, installed with its core dependencies alone, the demo run with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pyarrow.csv as pcsv
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def called(*command, **more):
    """What a command prints; it must end well."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is built from what is in it."""
    folder = tmp_path_factory.mktemp("dist")
    called(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory):
    """The programs of an environment that holds the wheel and what it asks for, nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    called(sys.executable, "-m", "venv", folder)
    where = folder / "bin"
    pip = [where / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
    called(*pip, "-c", ROOT / "constraints.txt", built[1])
    return where


def names(requirements):
    """Of the packages that are required, as pip writes them."""
    return {re.split(r"[^\w.-]", r)[0].lower().replace("_", "-") for r in requirements}


def test_the_source_distribution_holds_the_license_and_every_module(built):
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    modules = {
        str(path.relative_to(ROOT))
        for folder in ("engine", "backends", "plugins")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {"LICENSE", "README.md", "pyproject.toml"} | modules <= held


def test_the_core_alone_runs_the_demo(clean, tmp_path):
    listed = json.loads(called(clean / "python", "-m", "pip", "list", "--format", "json"))
    there = {package["name"].lower().replace("_", "-") for package in listed}
    extras = {r for of in PROJECT["optional-dependencies"].values() for r in of}
    core = names(PROJECT["dependencies"])
    assert core | {"gapcast"} <= there
    assert not there & (names(extras) - core - {"gapcast", "setuptools"})
    shutil.copytree(ROOT / "data", tmp_path / "data")
    (tmp_path / "demo.yaml").write_text((ROOT / "configs/quickstart.yaml").read_text())
    called(clean / "gapcast", "run", "demo.yaml", "--run-dir", "run", cwd=tmp_path)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["state"] == "complete"
    models = yaml.safe_load((tmp_path / "demo.yaml").read_text())["models"]
    scores = pcsv.read_csv(tmp_path / "run/scores.csv")
    assert set(scores["model"].to_pylist()) == {*models}
