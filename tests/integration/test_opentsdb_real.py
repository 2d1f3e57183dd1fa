"""The sink `opentsdb` on a real OpenTSDB, read back through its own queries."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tsdrows
from services.jvm import wait

from gapcast import read_config, run
from gapcast.engine.sink import Committed, JobInfo, Rejected
from gapcast.engine.testing import sink as kit
from gapcast.engine.testing.sink import epoch
from gapcast.plugins.sinks.opentsdb import OpenTsdbSink
from gapcast.plugins.sinks.opentsdb_points import unescape

ROOT = Path(__file__).parents[2]
JOB = JobInfo("kit", None, 1_800_000_000, ("m",), 2, ("observed",))


def series(url, metric):
    """The points of a metric: by its tags' values, by second."""
    query = {"metric": metric, "aggregator": "none"}
    request = urllib.request.Request(
        f"{url}/api/query",
        json.dumps({"start": 1, "end": 2_000_000_000, "queries": [query]}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        if "No such name" not in error.read().decode():
            raise
        return {}
    return {
        tuple(unescape(v) for _, v in sorted(one["tags"].items())): {
            int(second): value for second, value in one["dps"].items()
        }
        for one in found
    }


_tsd: list[str] = []
_prefixes: dict[Path, str] = {}
_numbers = count()


@pytest.fixture(autouse=True)
def _known(opentsdb):
    _tsd[:] = [opentsdb.url]


def prefix(folder):
    """Each folder of the kit has metrics of its own."""
    return _prefixes.setdefault(folder, f"kit{next(_numbers)}")


def on_tsd(folder, **params):
    metric = f"{prefix(folder)}.{{quantity}}.{{series}}"
    return OpenTsdbSink(OpenTsdbSink.Params(url=_tsd[0], metric=metric, **params))


def back(folder):
    return tsdrows.rows(lambda metric: series(_tsd[0], f"{prefix(folder)}.{metric}"))


TestOpenTsdb = kit(on_tsd, lambda folder: tsdrows.table(back(folder)), lacks=tsdrows.LACKS)


def stored(found, table):
    """Assert that exactly these rows were found, every value bit for bit."""
    assert len(found) == len(table)
    wanted = {tsdrows.key(r): r for r in tsdrows.expected(table)}
    assert {tsdrows.key(r): r for r in found} == wanted


def test_bodies_over_the_limit_are_halved(tmp_path):
    """The daemon drops the connection without a word when a body is over `max_chunk`."""
    table = epoch(0, rows=6000)
    sink = on_tsd(tmp_path, bytes=2_500_000, gzip=False, connections=1)
    sink.open(JOB, "g")
    outcomes = [sink.write(0, table)]
    while not isinstance(outcomes[-1], Committed) and len(outcomes) < 10:
        outcomes.append(sink.write(0, table))
    sink.close()
    assert len(outcomes) > 1
    stored(back(tmp_path), table)


def test_points_that_the_daemon_rejects_are_told_from_those_it_stores(tmp_path, monkeypatch):
    from gapcast.plugins.sinks import opentsdb_points

    monkeypatch.setattr(opentsdb_points, "escape", lambda name: name)
    table = epoch(0)
    names = pa.array(
        ["bad name" if i == 5 else s for i, s in enumerate(table["sensor"].to_pylist())]
    )
    table = table.set_column(1, table.schema.field(1), names.cast(table.schema.field(1).type))
    sink = on_tsd(tmp_path)
    sink.open(JOB, "g")
    outcome = sink.write(0, table)
    assert isinstance(outcome, Rejected)
    assert outcome.rows == [5]
    assert "illegal character" in outcome.reasons[0]
    kept = table.filter(pa.array(np.arange(40) != 5))
    assert isinstance(sink.write(0, kept), Committed)
    sink.close()
    stored(back(tmp_path), kept)


@pytest.mark.parametrize("sensor", ["mote 1", "Ωmega_x/ä", "", "_x20_"])
def test_any_name_is_kept(tmp_path, sensor):
    table = epoch(0, rows=2)
    field = table.schema.field(1)
    table = table.set_column(1, field, pa.array([sensor] * 2).cast(field.type)).slice(0, 1)
    sink = on_tsd(tmp_path)
    sink.open(JOB, "g")
    assert isinstance(sink.write(0, table), Committed)
    sink.close()
    stored(back(tmp_path), table)


def test_a_run_outlives_the_daemon(opentsdb, tmp_path, caplog):
    """The daemon is killed in mid-run; in the end it has what the files have, bit for bit."""
    config = read_config(
        {
            "name": "lab",
            "source": {
                "type": "replay",
                "path": str(ROOT / "data/intel-lab-3days.txt.gz"),
                "format": "intel-lab",
            },
            "grid": {"interval": "30min"},
            "targets": {"sensors": "all", "quantities": ["temperature"]},
            "models": {"last": {"type": "persistence"}, "rls": {"type": "rls"}},
            "sinks": {
                "tsdb": {
                    "type": "opentsdb", "url": opentsdb.url, "bytes": 100_000, "connections": 2,
                    "metric": "lab.{quantity}.{series}",
                },
                "files": {"type": "files"},
            },
        }
    )  # fmt: skip
    ended: list[object] = []
    running = threading.Thread(target=lambda: ended.append(run(config, tmp_path / "run")))
    running.start()
    wait(lambda: bool(series(opentsdb.url, "lab.temperature.forecast")), 120, "a first point", [])
    opentsdb.kill(0)
    wait(lambda: "asks to be tried again" in caplog.text, 60, "the sink to notice", [])
    opentsdb.restart(0)
    running.join(180)
    assert ended
    table = pq.read_table(tmp_path / "run/forecasts", partitioning=None)
    stored(tsdrows.rows(lambda metric: series(opentsdb.url, f"lab.{metric}")), table)
