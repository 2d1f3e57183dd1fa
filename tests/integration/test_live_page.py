"""The page of a run in a real browser: what is drawn is what sinks have."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import urllib.request

import pyarrow.parquet as pq
import pytest
from browser import CHROMIUM, Browser
from doubles import START
from watched import NO_PROXY, Watched

pytest.importorskip("starlette", reason="comes with gapcast[serve]")
BEGIN = START / 1e6
ODD = '</script><b>"&amp;'
STATE = """[...document.querySelectorAll('#rows button')]
  .find(b => b.querySelector('b').textContent === %s)?.lastChild.textContent"""
DRAWN = "document.documentElement?.dataset.drawn"
PRESS = "[...document.querySelectorAll('%s')].find(b => b.textContent.includes(%s)).click()"


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no chromium here to open the page with")
    with Browser(tmp_path) as found:
        found.ask(
            "Emulation.setDeviceMetricsOverride",
            width=1200, height=1000, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        yield found


def wave(minutes, sensors, skip=()):
    return [
        (m, s, 20 + n + math.sin(m / 9))
        for m in minutes
        for n, s in enumerate(sensors)
        if s not in skip
    ]


def state(sensor):
    return STATE % json.dumps(sensor)


def shows(step):
    """Whether the chosen series is drawn up to the step of a minute."""
    return f"{DRAWN} === '{BEGIN + 60 * step:.0f}'"


def test_a_gap_opens_and_closes_on_the_page(tmp_path, browser):
    sensors = ["a", ODD, "c"]
    with Watched(tmp_path / "r", sensors) as watched:
        watched.feed(*wave(range(40), sensors))
        browser.open(watched.url)
        browser.until(shows(38))
        browser.until(f"{state(ODD)} === 'ok'")
        browser.value(PRESS % ("#rows button", json.dumps(ODD)))
        browser.until(f"document.getElementById('title').textContent.includes({json.dumps(ODD)})")
        number = watched.json("api/sensors")["sensors"].index(ODD)
        browser.until(f"document.getElementById('plot').chart?.of === {number}")
        watched.feed(*wave(range(40, 50), sensors, skip=[ODD]))
        browser.until(f"{state(ODD)} === 'missing for 9 min'")
        browser.value(PRESS % ("#states button", json.dumps("missing")))
        browser.until("document.querySelectorAll('#rows button').length === 1")
        browser.value(PRESS % ("#states button", json.dumps("missing")))
        watched.feed(*wave(range(50, 60), sensors))
        browser.until(f"{state(ODD)} === 'ok'")
        browser.until(shows(58))
        drawn = browser.value("document.getElementById('plot').chart.shown")
        offered = browser.value("[...document.getElementById('entry').options].map(o => o.text)")
        said = browser.value("document.getElementById('scores').textContent")
        browser.ask("Emulation.setDeviceMetricsOverride", width=360, height=700,
                    deviceScaleFactor=2, mobile=True)  # fmt: skip
        browser.until("document.documentElement.scrollWidth <= 360")
        watched.end()
        browser.until("document.getElementById('state').textContent.includes('ended')")
    assert offered == ["last", "last, 2 steps ahead"]
    assert "last, 2 steps ahead" in said
    agrees(drawn, tmp_path / "r")
    # That the server is gone is all there is to be told.
    assert [
        s for s in browser.said if "ERR_CONNECTION" not in s and "ERR_INCOMPLETE" not in s
    ] == []


def agrees(drawn, folder):
    """The lines are the rows of `files`, the shaded steps those at which nothing came."""
    rows = pq.read_table(folder / "forecasts", partitioning=None).to_pylist()
    final = {
        row["time"].timestamp(): row for row in rows if (row["sensor"], row["horizon"]) == (ODD, 0)
    }
    ahead = pq.read_table(folder / "ahead", partitioning=None).to_pylist()
    ahead = {row["time"].timestamp(): row for row in ahead if row["sensor"] == ODD}
    come = 0
    for i, moment in enumerate(drawn["times"]):
        names = ("forecast", "lower", "upper")
        if drawn["status"][i] == "ahead":
            row, columns = ahead[moment], ("ahead", "aheadLower", "aheadUpper")
            come += 1
        else:
            row, columns = final[moment], names
            assert (drawn["truth"][i], drawn["status"][i]) == (row["truth"], row["status"])
        for name, column in zip(names, columns, strict=True):
            assert drawn[column][i] == row[name]
    assert come == 2
    assert drawn["status"].count("missing") == 10
    assert len(drawn["times"]) >= 60


def test_ten_thousand_sensors_are_a_list_of_few_elements(tmp_path, browser):
    sensors = [f"s{i}" for i in range(10_000)]
    with Watched(tmp_path / "r", sensors, models={"last": {"type": "persistence"}}) as watched:
        for m in range(4):
            watched.feed(*wave([m], sensors))
        browser.open(watched.url)
        browser.until(shows(2))
        assert browser.value("document.querySelectorAll('#rows button').length") < 60
        browser.value("const list = document.getElementById('list'); list.scrollTop = 1e9; 0")
        browser.until("!!document.querySelector('#rows [data-row=\"9999\"]')")
        browser.value(
            "const find = document.getElementById('find'); find.value = 's777';"
            "find.dispatchEvent(new Event('input')); 0"
        )
        browser.until("document.getElementById('found').textContent === '11 of 10,000'")
        watched.feed(*wave([4, 5], sensors, skip={*sensors[1:]}))
        counted = "document.querySelector('[data-state=missing]').textContent.trim()"
        browser.until(f"{counted} === 'missing 9,999'")
        event = watched.json("api/status")
        assert len(json.dumps(event)) < 5_000
        assert browser.said == []


def test_a_browser_comes_in_with_the_token_once(tmp_path, browser, monkeypatch):
    monkeypatch.setenv("TOKEN", "a-token-for-browsers")
    serve = {"port": 0, "token": "${TOKEN}"}
    with Watched(tmp_path / "r", ["a"], serve=serve) as watched:
        watched.feed(*wave(range(10), ["a"]))
        browser.open(watched.url + "?token=a-token-for-browsers")
        browser.until(shows(8))
        assert browser.value("location.search + document.cookie") == ""
        browser.open(watched.url)
        browser.until(f"location.search === '' && {shows(8)}")
        assert browser.said == []


CONFIG = """\
name: stopped
source: {type: replay, path: data.csv, speed: 60x}
grid: {interval: 1min}
targets: {quantities: [t]}
models: {last: {type: persistence}}
serve: {port: 0}
"""


def test_a_signal_ends_run_and_server_though_a_page_is_open(tmp_path):
    lines = [f"2024-01-01T{h:02}:{m:02}:00Z,a,t,{m}" for h in range(24) for m in range(60)]
    (tmp_path / "data.csv").write_text("time,sensor,quantity,value\n" + "\n".join(lines))
    (tmp_path / "c.yaml").write_text(CONFIG)
    command = "from gapcast.engine.cli import main; main()"
    arguments = [sys.executable, "-c", command, "run", "c.yaml", "--run-dir", "r"]
    run = subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        url = next(line for line in run.stderr if "http://" in line).split()[-1]
        with NO_PROXY.open(urllib.request.Request(url + "api/events"), timeout=60) as events:
            while b'"epochs":0,"interval"' in (line := events.readline()) or not line.strip():
                assert line
            os.kill(run.pid, signal.SIGTERM)
            while events.readline():
                pass
        assert run.wait(60) == 0
    finally:
        run.kill()
        run.wait()
        run.stderr.close()
    assert json.loads((tmp_path / "r/manifest.json").read_text())["state"] == "interrupted"
