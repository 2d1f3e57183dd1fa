"""What Spark is told reaches it by no way that others on the machine can see."""

from __future__ import annotations

import subprocess

import pytest
from doubles import SCRIPTS

from gapcast import read_config, run

pytestmark = pytest.mark.cluster


def test_settings_of_spark_are_in_no_command_line(tmp_path, monkeypatch):
    from pyspark import java_gateway

    commands = []

    class Noted(subprocess.Popen):
        def __init__(self, command, **more):
            commands.append(" ".join(command))
            super().__init__(command, **more)

    monkeypatch.setattr(java_gateway, "Popen", Noted)
    monkeypatch.setenv("WORD", "open sesame\\ = 1")
    rows = [(m, "1", "temperature", 1.0 * m, m) for m in range(0, 600, 30)]
    SCRIPTS["test"] = {"a": rows}
    config = read_config(
        {
            "name": "told",
            "source": {"type": "doubles:Played", "script": "test"},
            "grid": {"interval": "30min"},
            "targets": {"quantities": ["temperature"]},
            "models": {"m": {"type": "persistence"}},
            "backend": {
                "type": "spark",
                "conf": {"spark.own.secret": "${WORD}", "spark.own.form": "a b"},
            },
        }
    )
    try:
        assert run(config, tmp_path / "r").complete
    finally:
        SCRIPTS.clear()
    assert commands
    assert not any("sesame" in c or "spark.own" in c for c in commands)
    assert "sesame" not in (tmp_path / "r/manifest.json").read_text()
