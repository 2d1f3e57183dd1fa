"""What a run shows while it goes: who may see it, and that it is what the sinks have."""

from __future__ import annotations

import http.client
import json
import math
import socket
import sys
import threading
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import gapcast
from doubles import START
from watched import Watched

from gapcast import read_config
from gapcast.engine.config import load_config, redact
from gapcast.engine.errors import ConfigError, RunError
from gapcast.engine.serve.notices import LONGEST, MOST, Notices
from gapcast.engine.serve.running import run

parser = pytest.importorskip("prometheus_client.parser", reason="comes with gapcast[serve]")

TOKEN = "a-token-that-is-long-enough"
BEGIN = START / 1e6
RIGHT = """\
name: x
source: {type: 'doubles:Fed', script: fed}
grid: {interval: 1min}
network: {sensors: [a]}
targets: {quantities: [t]}
serve:
"""


def readings(minutes, sensors=("a", "b", "c"), skip=()):
    """A wave of each sensor, but for what is in `skip`: pairs of minute and sensor."""
    return [
        (m, s, 20 + n + math.sin(m / 9))
        for m in minutes
        for n, s in enumerate(sensors)
        if (m, s) not in skip
    ]


def metrics(watched):
    """Values by name and labels, these in the order of their names."""
    families = parser.text_string_to_metric_families(watched.get("metrics"))
    return {
        (sample.name, *(v for _, v in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def closed(minute):
    """Whether the step of a minute has been delivered."""
    return lambda status: status["last"] == BEGIN + 60 * minute


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "  host: 0.0.0.0",
            "c.yaml:6:1  serve.token: must be given where the host is not loopback",
        ),
        ("  token: written-as-it-is-here", "c.yaml:7:3  serve.token: token is a secret and would"),
        ("  token: ${SHORT}", "c.yaml:7:3  serve.token: must be a secret of at least 16"),
        ("  port: 70000", "c.yaml:7:3  serve.port: must be less than or equal to 65535"),
        ("  silnt: 1h", "c.yaml:7:3  serve.silnt: unknown key; did you mean 'silent'?"),
    ],
)
def test_a_mistake_in_the_section_is_told_with_its_place(tmp_path, monkeypatch, section, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHORT", "short-token")
    (tmp_path / "c.yaml").write_text(RIGHT + section + "\n")
    with pytest.raises(ConfigError) as error:
        load_config("c.yaml")
    assert str(error.value).startswith(message)
    assert "short-token" not in str(error.value)


def test_a_token_is_in_no_manifest_and_no_section_is_no_server(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", TOKEN)
    (tmp_path / "c.yaml").write_text(RIGHT + "  {host: 0.0.0.0, token: '${TOKEN}'}\n")
    config = load_config(tmp_path / "c.yaml")
    assert TOKEN not in json.dumps(redact(config)) + repr(config.serve)
    assert redact(config)["serve"]["token"] == "${TOKEN}"
    assert read_config(redact(config)).serve == config.serve
    assert "serve" not in redact(load_config(tmp_path / "c.yaml", ["serve=null"]))


def test_a_port_in_use_is_told_before_anything_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "c.yaml").write_text(RIGHT + f"  port: {port}\n")
        done = gapcast("run", "c.yaml", "--run-dir", "r")
        assert done.returncode == 1
        assert (
            done.stderr.strip()
            .splitlines()[-1]
            .startswith(
                f"serve.port: 127.0.0.1:{port} cannot be listened on: Address already in use; "
            )
        )
        with pytest.raises(RunError, match="choose another one, or 0"):
            run(load_config("c.yaml"), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(RIGHT + "  port: 0\n")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "gapcast.engine.serve.server", raising=False)
    done = gapcast("run", "c.yaml", "--run-dir", "r")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert done.stderr.strip().endswith("pip install 'gapcast[serve]'")
    assert not (tmp_path / "r").exists()


def test_what_is_shown_is_what_the_sinks_have(tmp_path):
    sensors = ["a", "b", "c"]
    with Watched(tmp_path / "r", sensors, serve={"port": 0, "silent": "30min"}) as watched:
        watched.feed(*readings(range(20)))
        watched.until("api/status", closed(18))
        listed = watched.json("api/sensors")
        assert listed["sensors"] == sensors
        assert [listed["names"][s] for s in listed["state"]] == ["ok"] * 3
        gap = {(m, "b") for m in range(20, 30)}
        watched.feed(*readings(range(20, 30), skip=gap | {(29, "c")}), (29, "c", 99.0))
        watched.feed((30, "a", 20.0))
        watched.until("api/status", closed(29))
        listed = watched.json("api/sensors")
        assert [listed["names"][s] for s in listed["state"]] == ["ok", "missing", "rejected"]
        assert listed["arrived"][1] == BEGIN + 60 * 19
        status = watched.until("api/status", lambda s: s["progress"]["steps"] == 30)
        assert status["states"] == {"ok": 1, "missing": 1, "rejected": 1, "silent": 0}
        watched.feed(*readings(range(31, 59), sensors=("a",)))
        status = watched.until("api/status", closed(57))
        assert status["states"] == {"ok": 1, "missing": 1, "rejected": 0, "silent": 1}
        shown = {s: watched.json(f"api/series?sensor={s}&quantity=t") for s in sensors}
        part = watched.json(f"api/series?sensor=a&quantity=t&from={BEGIN + 60 * 50}&model=last")
        assert part["times"][0] == BEGIN + 60 * 50
        assert part["truth"] == shown["a"]["truth"][-len(part["times"]) :]
        assert watched.code("api/series?sensor=z&quantity=t") == 404
        assert watched.code("api/series?sensor=a&quantity=t&from=soon") == 400
        watched.end()
    for sensor in sensors:
        agrees(shown[sensor], tmp_path / "r", BEGIN + 60 * 57)


def agrees(shown, folder, last):
    """Compare what was shown of a sensor with the rows of `files`."""
    times = {t: i for i, t in enumerate(shown["times"])}
    for entry in shown["entries"]:
        compared = 0
        for stage in ("forecasts", "ahead"):
            for row in pq.read_table(folder / stage, partitioning=None).to_pylist():
                moment = row["time"].timestamp()
                late = row["made"].timestamp() > last or (stage == "forecasts" and moment > last)
                if (row["sensor"], row["horizon"]) != (shown["sensor"], entry["horizon"]) or late:
                    continue
                i = times[moment]
                for name in ("forecast", "lower", "upper"):
                    assert entry[name][i] == row[name]
                if stage == "forecasts":
                    assert (shown["truth"][i], shown["status"][i]) == (row["truth"], row["status"])
                elif moment > last:
                    assert (shown["truth"][i], shown["status"][i]) == (None, "ahead")
                compared += 1
        assert compared > 50


def test_the_figures_at_the_end_are_the_manifest_s(tmp_path):
    more = {"serve": {"port": 0, "sensors": True}, "screen": {"quantities": "none"}}
    with Watched(tmp_path / "r", ["a", "b", "c"], **more) as watched:
        watched.feed(*readings(range(200), skip={(m, "b") for m in range(150, 200)}))
        watched.feed((199, "a", 95.0), (10, "a", 1.0), (199, "nobody", 1.0), (199, "c", math.inf))
        watched.feed(*readings([199], ["a"]), (200, "a", 20.0))
        watched.finish()
        complete = threading.Event()
        for _ in range(2_000):
            if metrics(watched).get(("gapcast_steps_closed_total",)) == 201:
                break
            complete.wait(0.05)
        found = metrics(watched)
        result = watched.end()
    counts = json.loads((tmp_path / "r/manifest.json").read_text())["counts"]
    assert found["gapcast_readings_read_total",] == counts.pop("read")
    for name, n in counts.items():
        assert n > 0, name
        assert found["gapcast_readings_total", name] == n
    assert found["gapcast_forecasts_total",] == result.forecasts
    assert found["gapcast_rows_total", "last", "final"] == result.forecasts
    ahead = pq.read_table(tmp_path / "r/ahead", partitioning=None)
    assert found["gapcast_rows_total", "last", "ahead"] == len(ahead)
    assert found["gapcast_up",] == found["gapcast_workers",] / found["gapcast_workers_wanted",] == 1
    assert found["gapcast_watermark_timestamp_seconds",] >= BEGIN
    assert found["gapcast_checkpoint_duration_seconds",] > 0
    assert found["gapcast_sensors", "missing"] == 2
    assert found["gapcast_sensor_missing_seconds", "t", "b"] == 60 * 51
    scores_agree(found, result.scores)


def scores_agree(found, scores: pa.Table):
    """The errors of all sensors, pooled, are those of ``scores.csv``."""
    for horizon in (0, 2):
        rows = [r for r in scores.to_pylist() if r["horizon"] == horizon]
        n = sum(r["n"] for r in rows)
        labels = (str(horizon), "last", "t")
        assert found["gapcast_scored_total", *labels] == n
        mse = sum(r["mse"] * r["n"] for r in rows) / n
        assert found["gapcast_mse", *labels] == pytest.approx(mse, rel=1e-9)
        kept = found["gapcast_covered_total", *labels]
        intervals = found["gapcast_scored_intervals_total", *labels]
        assert found["gapcast_coverage_ratio", *labels] == kept / intervals
        low = np.array([r["coverage"] for r in rows])
        assert low.min() - 0.01 <= kept / intervals <= low.max() + 0.01


def test_loopback_without_a_token_answers_to_its_own_name_only(tmp_path):
    with Watched(tmp_path / "r", ["a"]) as watched:
        assert watched.get("health")
        port = urlsplit(watched.url).port
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", "localhost", f"[::1]:{port}"):
            assert watched.code("api/status", Host=host) == 200
        for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", ""):
            assert watched.code("api/status", Host=host) == 421
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert watched.code("api/status", method) == 405
        assert watched.code("nothing") == 404
        assert ("gapcast_sensor_state", "t", "a") not in metrics(watched)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A run that asks for a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", TOKEN)
        serve = {"port": 0, "host": "127.0.0.1", "token": "${TOKEN}"}
        with Watched(tmp_path_factory.mktemp("locked") / "r", ["a"], serve=serve) as watched:
            yield watched


PATHS = ("", "health", "metrics", "api/status", "api/sensors", "api/series", "api/events")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Cookie": f"gapcast={TOKEN}"},
    ],
)
def test_without_the_token_nothing_is_shown(locked, path, headers):
    assert locked.code(path, **headers) == 401
    assert locked.code(f"{path}?token=wrong", **headers) == 401


def test_the_cookie_is_not_the_token_and_no_other_will_do(locked):
    port = urlsplit(locked.url).port
    assert locked.code("api/status", Authorization=f"Bearer {TOKEN}") == 200
    assert locked.code(f"api/status?token={TOKEN}") == 401  # in the address of the page only
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", f"/?token={TOKEN}")
    answer = connection.getresponse()
    cookie = answer.getheader("set-cookie")
    page = answer.read().decode()
    connection.close()
    assert answer.status == 200
    assert TOKEN not in page + cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "default-src 'none'" in answer.getheader("content-security-policy")
    assert answer.getheader("referrer-policy") == "no-referrer"
    pair = cookie.partition(";")[0]
    assert locked.code("api/status", Cookie=pair) == 200
    assert locked.code("api/status", Cookie=pair + "x") == 401
    assert locked.code("api/status", Cookie=f"gapcast-{port}=") == 401


def test_warnings_are_kept_masked_and_few(monkeypatch):
    import logging

    from gapcast.engine.redaction import remember

    remember("hunter2-hunter2", "${PASSWORD}")
    log = logging.getLogger("gapcast.anything")
    with Notices() as notices:
        log.warning("no way in with %s\nby any", "hunter2-hunter2")
        assert notices.kept[-1].text == "no way in with ${PASSWORD}\\nby any"
        for i in range(MOST + 5):
            log.error("%d %s", i, "x" * 2 * LONGEST)
        log.info("nothing to see")
    log.warning("after")
    assert len(notices.kept) == MOST
    assert notices.count == MOST + 6
    assert {len(n.text) for n in notices.kept} == {LONGEST}
