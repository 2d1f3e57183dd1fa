"""The whole landscape: produced to three brokers, forecast on each backend, stored in OpenTSDB and
on HDFS, read back by other ways, and compared with the run from file to file."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import threading
import urllib.request
from itertools import count
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from gapcast import read_config, run
from gapcast.engine import plugin
from gapcast.engine.config import load_production
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.run.produce import produce
from gapcast.engine.sink import Committed, Delivery, Sink

ROOT = Path(__file__).parents[2]
KEY = [(name, "ascending") for name in ("time", "sensor", "quantity", "model", "horizon")]
SAMPLE = {
    "type": "replay",
    "path": str(ROOT / "data/intel-lab-3days.txt.gz"),
    "format": "intel-lab",
}
SPANS = [{"from": "2004-03-03T00:00:00Z", "to": "2004-03-04T00:00:00Z"}]
STRIKES: dict[int, object] = {}
"""What to do just before an epoch is written, by epoch."""
_numbers = count()
OFTEN = Bounds(epoch_seconds=0.0)
"""An epoch a frame."""


class Striking(Sink):
    """Does harm to the others' servers when its epochs come."""

    class Params(plugin.Params):
        pass

    delivery = Delivery.IDEMPOTENT

    def open(self, job, generation):
        pass

    def write(self, epoch, forecasts):
        STRIKES.pop(epoch, lambda: None)()
        return Committed()


def config(source, sinks, backend=None):
    return read_config(
        {
            "name": "whole",
            "source": source,
            "grid": {"interval": "30min"},
            "network": {"positions": str(ROOT / "data/mote_locs.txt")},
            "targets": {"sensors": "all", "quantities": ["temperature"]},
            "evaluation": {"mode": "blackout", "spans": SPANS},
            "models": {"network": {"type": "network-rls"}, "yesterday": {"type": "seasonal"}},
            "sinks": sinks,
            "checkpoint": {"interval": "1s"},
            "backend": backend or {"type": "local", "threads": 2},
        }
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Forecasts and scores of the run from file to file."""
    folder = tmp_path_factory.mktemp("file") / "run"
    run(config(SAMPLE, {"files": {"type": "files"}}), folder)
    table = pq.read_table(folder / "forecasts", partitioning=None)
    return table.sort_by(KEY), (folder / "scores.csv").read_bytes()


@pytest.fixture(scope="module")
def topic(kafka, tmp_path_factory):
    """The sample's readings in a topic of three partitions, three copies each."""
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for made in admin.create_topics([NewTopic("whole", 3, 3)]).values():
        made.result(60)
    path = tmp_path_factory.mktemp("send") / "produce.yaml"
    sinks = {"out": {"type": "kafka-readings", "brokers": kafka.address, "topic": "whole"}}
    path.write_text(json.dumps({"source": SAMPLE, "sinks": sinks}))
    assert produce(load_production(path)).readings == 14_400
    return "whole"


def places(kafka, hdfs, opentsdb, topic):
    """Source and sinks of a run, with a folder and a metric of its own."""
    mark = f"whole{next(_numbers)}"
    source = {"type": "kafka", "brokers": kafka.address, "topic": topic, "end": "now"}
    sinks = {
        "hdfs": {"type": "hdfs", "url": f"{hdfs.address}/{mark}"},
        "tsdb": {
            "type": "opentsdb",
            "url": opentsdb.url,
            "metric": mark + ".{quantity}.{series}",
        },
    }
    return mark, source, sinks


def on_hdfs(hdfs, mark):
    """What is in the folder, read through WebHDFS."""
    there = fsspec.filesystem("webhdfs", host=hdfs.web.split(":")[0], port=hdfs.web.split(":")[1])
    files = [f for f in there.find(f"/{mark}") if f.endswith(".parquet")]
    tables = [pq.read_table(io.BytesIO(there.cat_file(f)), partitioning=None) for f in files]
    return pa.concat_tables(tables).sort_by(KEY)


def in_opentsdb(opentsdb, mark, model):
    """A model's forecasts by (sensor, second), as OpenTSDB answers a query."""
    query = {
        "metric": f"{mark}.temperature.forecast",
        "aggregator": "none",
        "tags": {"model": model, "sensor": "*"},
    }
    request = urllib.request.Request(
        f"{opentsdb.url}/api/query",
        json.dumps({"start": 1, "end": 2_000_000_000, "queries": [query]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return {
            (series["tags"]["sensor"], int(second)): value
            for series in json.load(answer)
            for second, value in series["dps"].items()
        }


def compare(hdfs, opentsdb, mark, folder, expected):
    table, scores = expected
    assert (folder / "scores.csv").read_bytes() == scores
    assert on_hdfs(hdfs, mark).equals(table.select(on_hdfs(hdfs, mark).column_names))
    for model in ("network", "yesterday"):
        rows = table.filter(pa.compute.equal(table["model"].cast(pa.string()), model)).to_pylist()
        wanted = {(r["sensor"], int(r["time"].timestamp())): r["forecast"] for r in rows}
        assert in_opentsdb(opentsdb, mark, model) == wanted


@pytest.mark.parametrize(
    "backend",
    [
        {"type": "local", "threads": 2},
        {"type": "dask", "workers": 2, "threads": 2},
        {"type": "spark", "master": "local[2]"},
    ],
    ids=lambda b: b["type"],
)
def test_every_key_once_and_every_value_bit_for_bit(
    kafka, hdfs, opentsdb, topic, expected, backend, tmp_path
):
    mark, source, sinks = places(kafka, hdfs, opentsdb, topic)
    result = run(config(source, sinks, backend), tmp_path / "run")
    counts = result.counts  # screening, on by default, may reject one
    assert (counts.used + counts.rejected, counts.late) == (7_200, 0)
    assert counts.rejected <= 1
    compare(hdfs, opentsdb, mark, tmp_path / "run", expected)


def test_broker_daemon_and_data_node_die_in_one_run(
    kafka, hdfs, opentsdb, topic, expected, tmp_path
):
    mark, source, sinks = places(kafka, hdfs, opentsdb, topic)
    back = threading.Thread(target=opentsdb.restart, args=(0,))
    STRIKES.update(
        {
            1: lambda: kafka.kill(1),
            2: lambda: (opentsdb.kill(0), back.start()),
            4: lambda: hdfs.kill(2),
            6: lambda: (kafka.restart(1), hdfs.restart(2)),
        }
    )
    striking = {"strike": {"type": "test_end_to_end:Striking"}} | sinks
    small = {"type": "local", "threads": 2, "batch": 500}
    run(config(source, striking, small), tmp_path / "run", bounds=OFTEN)
    back.join()
    assert not STRIKES, "the run had too few epochs"
    compare(hdfs, opentsdb, mark, tmp_path / "run", expected)


def killed_life(source, sinks, folder):
    """A run that is killed at its third epoch."""
    STRIKES[3] = lambda: os.kill(os.getpid(), 9)
    striking = {"strike": {"type": "test_end_to_end:Striking"}} | sinks
    run(config(source, striking, {"type": "local", "batch": 500}), folder, bounds=OFTEN)


def test_a_run_killed_on_one_backend_is_finished_on_another(
    kafka, hdfs, opentsdb, topic, expected, tmp_path
):
    mark, source, sinks = places(kafka, hdfs, opentsdb, topic)
    killed = multiprocessing.get_context("spawn").Process(  # not forked: clients have threads
        target=killed_life, args=(source, sinks, tmp_path / "run")
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -9
    spark = {"type": "spark", "master": "local[2]"}
    run(config(source, sinks, spark), tmp_path / "run", resume=True)
    compare(hdfs, opentsdb, mark, tmp_path / "run", expected)
