"""Where plugins named by their module are looked for by the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command import gapcast

from gapcast.engine.cli import main

CONFIG = """\
name: own
source: {type: replay, path: r.csv, format: csv}
grid: {interval: 1h}
targets: {quantities: [v]}
models: {m: {type: MODEL}}
sinks: {none: {type: console}}
"""
READINGS = "time,sensor,quantity,value\n" + "".join(
    f"2024-01-01T{h:02}:00:00Z,a,v,{h}\n" for h in range(20)
)
OWN = """\
import own_sibling
from gapcast.plugins.forecasters.persistence import Persistence
class Mine(Persistence): pass
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder in which modules lie that bear the names of others."""
    monkeypatch.chdir(tmp_path)
    Path("r.csv").write_text(READINGS)
    spoiler = "from pathlib import Path\nPath('imported').touch()\n"
    for name in ("statsmodels", "matplotlib", "sitecustomize", "gapcast_more"):
        Path(f"{name}.py").write_text(spoiler)
    Path("own_sibling.py").write_text("")
    Path("own_plugin.py").write_text(OWN)
    return tmp_path


def test_the_working_directory_is_not_where_modules_come_from(monkeypatch):
    Path("run.yaml").write_text(CONFIG.replace("MODEL", "persistence"))
    monkeypatch.setattr(sys, "argv", ["gapcast", "check", "run.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert str(Path.cwd()) not in sys.path
    assert not Path("imported").exists()


def test_a_module_that_a_config_names_is_found_there_with_what_is_beside_it():
    Path("run.yaml").write_text(CONFIG.replace("MODEL", "own_plugin:Mine"))
    done = gapcast("run", "run.yaml", "--run-dir", "r")
    assert done.returncode == 0, done.stderr
    assert not Path("imported").exists()
    assert str(Path.cwd()) not in sys.path


def test_one_that_is_nowhere_is_told(capsys):
    Path("run.yaml").write_text(CONFIG.replace("MODEL", "nowhere_at_all:Mine"))
    done = gapcast("check", "run.yaml")
    assert done.returncode == 2
    assert "no package or module 'nowhere_at_all' here" in done.stderr
