"""Clusters that a run starts on this machine are closed to its other users."""

from __future__ import annotations

import subprocess

import pytest
from doubles import SCRIPTS

from gapcast import read_config, run

pytestmark = pytest.mark.cluster


class Looking(list):
    """A script that lets a test look around once, when the run has begun."""

    look = None

    def __getitem__(self, i):
        if self.look:
            look, self.look = self.look, None
            look()
        return super().__getitem__(i)


@pytest.fixture
def script():
    rows = Looking((m, "1", "temperature", 1.0 * m, m) for m in range(0, 600, 30))
    SCRIPTS["test"] = {"a": rows}
    yield rows
    SCRIPTS.clear()


def config(**backend):
    return read_config(
        {
            "name": "closed",
            "source": {"type": "doubles:Played", "script": "test"},
            "grid": {"interval": "30min"},
            "targets": {"quantities": ["temperature"]},
            "models": {"m": {"type": "persistence"}},
            "backend": backend,
        }
    )


def test_settings_of_spark_are_in_no_command_line(script, tmp_path, monkeypatch):
    from pyspark import SparkContext, java_gateway

    commands, seen = [], {}

    class Noted(subprocess.Popen):
        def __init__(self, command, **more):
            commands.append(" ".join(command))
            super().__init__(command, **more)

    monkeypatch.setattr(java_gateway, "Popen", Noted)
    monkeypatch.setenv("WORD", "open sesame\\ = 1")
    script.look = lambda: seen.update(SparkContext._active_spark_context.getConf().getAll())
    own = {"spark.own.secret": "${WORD}", "spark.own.form": "a b"}
    assert run(config(type="spark", conf=own), tmp_path / "r").complete
    assert (seen["spark.own.secret"], seen["spark.own.form"]) == ("open sesame\\ = 1", "a b")
    assert (seen["spark.authenticate"], seen["spark.ui.enabled"]) == ("true", "false")
    assert commands
    assert not any("sesame" in c or "spark.own" in c for c in commands)
    assert "sesame" not in (tmp_path / "r/manifest.json").read_text()


def test_nobody_without_its_keys_reaches_a_cluster_of_dask(script, tmp_path):
    from distributed import Client, default_client

    seen = []

    def look():
        address = default_client().scheduler.address
        seen.append(address)
        with pytest.raises((OSError, TypeError), match=r".+"):
            Client(address, timeout=5)
        with pytest.raises(OSError, match=r".+"):
            Client(address.replace("tls://", "tcp://"), timeout=5)

    script.look = look
    backend = {"type": "dask", "workers": 1, "threads": 1, "linger": 0}
    assert run(config(**backend), tmp_path / "r").complete
    assert seen[0].startswith("tls://127.0.0.1")
