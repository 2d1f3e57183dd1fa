"""The `hdfs` sink on a real HDFS, read back by another client than the one that wrote."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import hdfs_life
import hdfs_native
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gapcast import run
from gapcast.engine.testing import parallel_sink, sink
from gapcast.engine.testing.sink import KEY
from gapcast.plugins.sinks.hdfs import HdfsSink


class Cluster:
    """The addresses, for kits, which take no fixtures."""

    native = ""
    web = ""


@pytest.fixture(autouse=True, scope="module")
def _cluster(hdfs):
    Cluster.native, Cluster.web = hdfs.address, f"webhdfs://gapcast@{hdfs.web}"


def through_web(folder):
    """All rows below `folder`, through WebHDFS."""
    files, root = fsspec.core.url_to_fs(Cluster.web + str(folder), skip_instance_cache=True)
    try:
        folders = [f for f in files.ls(root.rpartition("/")[0]) if f.startswith(root)]
        days = [day for f in folders for day in files.ls(f) if "/day=" in day]
        found = [p for day in days for p in files.ls(day) if "/." not in p]
        return pa.concat_tables(pq.read_table(io.BytesIO(files.cat_file(p))) for p in found)
    finally:
        files.session.close()


def natively(folder):
    client = hdfs_native.Client(Cluster.native)
    parent = folder.rpartition("/")[0]
    there = [f.path for f in client.list_status(parent, recursive=True)]
    found = [path for path in there if path.startswith(folder)]
    return pa.concat_tables(
        pq.read_table(io.BytesIO(client.read(p).read())) for p in found if p.endswith(".parquet")
    )


TestHdfs = sink(
    lambda folder: HdfsSink(HdfsSink.Params(url=f"{Cluster.native}{folder}/out")),
    lambda folder: through_web(f"{folder}/out"),
    stages=True,
)

TestWebHdfs = sink(
    lambda folder: HdfsSink(HdfsSink.Params(url=f"{Cluster.web}{folder}/out")),
    lambda folder: natively(f"{folder}/out"),
    stages=True,
)

TestHdfsInParts = parallel_sink(
    lambda folder: HdfsSink(HdfsSink.Params(url=f"{Cluster.native}{folder}/out")),
    lambda folder: through_web(f"{folder}/out"),
    stages=True,
)


@pytest.fixture
def script():
    """What is played: to be replaced below ``life``."""
    hdfs_life.SCRIPTS["life"] = {"a": hdfs_life.played()}
    yield hdfs_life.SCRIPTS
    hdfs_life.SCRIPTS.clear()


@pytest.fixture
def straight(script, tmp_path):
    """The rows of both stages of the same run into local files, without a failure."""
    run(hdfs_life.config({"type": "files"}, {}), tmp_path / "straight", bounds=hdfs_life.OFTEN)
    stages = [tmp_path / "straight" / name for name in ("forecasts", "ahead")]
    return ordered(pa.concat_tables([pq.read_table(of, partitioning=None) for of in stages]))


def ordered(table):
    return table.sort_by([(key, "ascending") for key in (*KEY, "status")])


class Eventful(list):
    """A script that does something before some of its readings."""

    def __init__(self, rows, events):
        super().__init__(rows)
        self.events = events

    def __getitem__(self, i):
        if i in self.events:
            self.events.pop(i)()
        return super().__getitem__(i)


def test_a_dead_data_node_and_a_name_node_started_anew_lose_nothing(
    hdfs, script, straight, tmp_path, caplog
):
    back = threading.Thread(target=hdfs.restart, args=[0])

    def without_name_node():
        hdfs.kill(0)
        back.start()

    def with_it_but_without_a_data_node():
        back.join()
        hdfs.kill(2)

    events = {
        100: lambda: hdfs.kill(1),
        250: lambda: hdfs.restart(1),
        300: without_name_node,
        400: with_it_but_without_a_data_node,
    }
    script["life"] = {"a": Eventful(hdfs_life.played(), events)}
    sink = hdfs_life.eager(f"{hdfs.address}/eventful")
    try:
        run(hdfs_life.config(sink, {}), tmp_path / "eventful", bounds=hdfs_life.OFTEN)
    finally:
        hdfs.restart(2)
    assert ordered(through_web("/eventful")).equals(straight)
    assert not events
    assert "asks to be tried again: hdfs://" in caplog.text


def test_killed_at_operations_on_hdfs_a_run_ends_as_one_never_killed(hdfs, straight, tmp_path):
    chance = random.Random(1)
    command = [sys.executable, str(Path(hdfs_life.__file__)), hdfs.address, str(tmp_path / "r")]
    for moment in (3, *(chance.randint(20, 200) for _ in range(3)), 0):
        life = subprocess.run([*command, str(moment)], capture_output=True, text=True)
        assert life.returncode == (-signal.SIGKILL if moment else 0), life.stderr
    assert ordered(through_web("/life/out")).equals(straight)
