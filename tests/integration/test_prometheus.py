"""A real Prometheus that asks a run: its figures, every query of the dashboard, the alerts."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from services.jvm import wait
from services.programs import program
from services.prometheus import SETTINGS, Prometheus
from watched import Watched

pytest.importorskip("prometheus_client", reason="comes with gapcast[serve]")
ROOT = Path(__file__).parents[2]
BOARD = json.loads((ROOT / "docker/serve/grafana/dashboards/gapcast-live.json").read_text())
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in BOARD["panels"]
    for target in panel["targets"]
]
TOKEN = "a-token-of-prometheus-own"


@pytest.fixture(scope="module")
def promtool(installed):
    return installed(lambda: program("promtool"))


def told(promtool, *arguments, cwd):
    done = subprocess.run([promtool, *arguments], cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_promtool_takes_settings_and_rules(promtool, tmp_path):
    shutil.copytree(SETTINGS, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "prometheus.yml").read_text()
    (tmp_path / "token").touch()
    inside = text.replace("/run/secrets/gapcast-token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(inside)
    code, said = told(promtool, "check", "config", "--lint-fatal", "prometheus.yml", cwd=tmp_path)
    assert code == 0, said
    assert "8 rules found" in said


def test_each_alert_is_raised_when_it_should_and_not_otherwise(promtool, tmp_path):
    shutil.copy(SETTINGS / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).with_name("alerts.yaml"), tmp_path)
    code, said = told(promtool, "test", "rules", "alerts.yaml", cwd=tmp_path)
    assert code == 0, said
    rules = yaml.safe_load((tmp_path / "alerts.yml").read_text())["groups"][0]["rules"]
    assert all(f'alertname="{r["alert"]}"' in (tmp_path / "alerts.yaml").read_text() for r in rules)


@pytest.fixture(scope="module")
def asked(installed, tmp_path_factory):
    """A Prometheus that has asked a run a few times, while it went; and that run."""
    folder = tmp_path_factory.mktemp("asked")
    installed(lambda: program("prometheus"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", TOKEN)
        more = {"serve": {"port": 0, "token": "${TOKEN}"}, "checkpoint": {"interval": "1s"}}
        with Watched(folder / "r", ["a", "b"], **more) as watched:
            target = urlsplit(watched.url).netloc
            with Prometheus(folder / "prometheus", target, TOKEN) as prometheus:
                minute = 0

                def enough():
                    nonlocal minute
                    minute += 5
                    for m in range(minute - 5, minute):
                        watched.feed((m, "a", 20 + math.sin(m / 9)), (m, "b", 21 - math.cos(m / 9)))
                    (step,) = prometheus.values("gapcast_checkpoint_age_seconds") or [None]
                    return step and len(prometheus.values("gapcast_mse[1m]")[0]["values"]) > 5

                wait(enough, 90, "six scrapes", prometheus.nodes)
                yield prometheus, watched


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_dashboard_finds_figures(asked, query):
    prometheus, _ = asked
    found = prometheus.values(query.replace("$__rate_interval", "1m"))
    assert found, query
    numbers = [float(line["value"][1]) for line in found]
    assert all(map(math.isfinite, numbers)), found


def test_prometheus_has_what_the_run_says(asked):
    prometheus, watched = asked
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    (group,) = prometheus.ask("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    watched.headers = {"Authorization": f"Bearer {TOKEN}"}
    rows = watched.json("api/status")["rows"]["final"]
    wait(
        lambda: float(prometheus.values("sum(gapcast_rows_total{stage='final'})")[0]["value"][1])
        >= rows > 0,
        60, "all rows to be counted", prometheus.nodes,
    )  # fmt: skip
    raised = {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"]}
    assert raised <= {"GapcastLag"}  # a record of 2004
