"""Every query of every panel, put to a real OpenTSDB after a run as Grafana puts it."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest

from gapcast import read_config, run

ROOT = Path(__file__).parents[2]
BOARDS = {
    path.stem: json.loads(path.read_text())
    for path in sorted((ROOT / "docker/serve/grafana/dashboards").glob("*.json"))
    if path.stem != "gapcast-live"  # of Prometheus: test_prometheus.py
}
PANELS = [
    pytest.param(board, panel, id=f"{stem}: {panel['title']}")
    for stem, board in BOARDS.items()
    for panel in board["panels"]
]


def config(url):
    """Ten sensors of the sample, the last day withheld for each; lasts some seconds."""
    return read_config(
        {
            "name": "grafana",
            "source": {
                "type": "replay",
                "path": str(ROOT / "data/intel-lab-3days.txt.gz"),
                "format": "intel-lab",
                "speed": "60000x",
            },
            "grid": {"interval": "30min"},
            "targets": {"sensors": list(range(1, 11)), "quantities": ["temperature"]},
            "evaluation": {
                "mode": "blackout",
                "hide": "each",
                "spans": [{"from": "2004-03-03T00:00:00Z", "to": "2004-03-04T00:00:00Z"}],
            },
            "models": {"last": {"type": "persistence"}, "spatial": {"type": "rls"}},
            "sinks": {"tsdb": {"type": "opentsdb", "url": url, "progress": "1s"}},
        }
    )


@pytest.fixture(scope="module")
def tsdb(opentsdb, tmp_path_factory):
    """Address of an OpenTSDB that holds a run."""
    assert run(config(opentsdb.url), tmp_path_factory.mktemp("run") / "r").complete
    return opentsdb.url


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def values(tsdb, board):
    """The variables of a dashboard: those they begin with, which OpenTSDB must offer."""
    found = {}
    for variable in board["templating"]["list"]:
        value = found[variable["name"]] = variable["current"]["value"]
        if variable["type"] == "query":
            assert variable["query"] == "suggest_tagv()"
            offered = get(f"{tsdb}/api/suggest?type=tagv&q=&max=10000")
            assert value in [o for o in offered if re.search(variable["regex"].strip("/"), o)]
    return found


def filled(text, found):
    return re.sub(r"\$(\w+)", lambda m: found.get(m[1], m[0]), text)


def moment(text):
    if text.startswith("now"):
        return int(time.time()) - (3600 if text == "now-1h" else -1)
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_every_query_of_every_panel_finds_data(tsdb, board, panel):
    found = values(tsdb, board)
    for target in panel["targets"]:
        query = {
            "metric": filled(target["metric"], found),
            "aggregator": target["aggregator"],
            "downsample": filled(
                f"{target['downsampleInterval']}-{target['downsampleAggregator']}", found
            ),
            "rate": target["shouldComputeRate"],
            "filters": [{**f, "filter": filled(f["filter"], found)} for f in target["filters"]],
        }
        start, end = (moment(board["time"][side]) for side in ("from", "to"))
        body = json.dumps({"start": start, "end": end, "queries": [query]}).encode()
        request = urllib.request.Request(
            f"{tsdb}/api/query", body, {"Content-Type": "application/json"}
        )
        answer = get(request)
        assert answer, query
        assert all(one["dps"] for one in answer), query
        several = [f for f in query["filters"] if f["filter"] == "*"]
        if several:
            assert len({one["tags"][several[0]["tagk"]] for one in answer}) == len(answer)
        if target["metric"] == "$quantity.status":
            assert {v for one in answer for v in one["dps"].values()} >= {0.0, 2.0}
