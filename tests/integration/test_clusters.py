"""The clusters that tests of backends stand on come up, work, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys

import clusters
import psutil
import pytest

SPARK_JOB = """
import os, sys
from pyspark.sql import SparkSession
session = (
    SparkSession.builder.master(sys.argv[1])
    .config("spark.ui.enabled", "false")
    .config("spark.cores.max", "2")
    .config("spark.executor.cores", "1")
    .config("spark.executor.extraJavaOptions", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
    .config("spark.scheduler.minRegisteredResourcesRatio", "1.0")
    .config("spark.scheduler.maxRegisteredResourcesWaitingTime", "60s")
    .getOrCreate()
)
context = session.sparkContext
squares = context.parallelize(range(100), 4).map(lambda x: x * x).sum()
print(context.applicationId, squares, flush=True)
sys.stdin.readline()
session.stop()
"""


@pytest.fixture
def java():
    try:
        return clusters.java()
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)


def listening(pids):
    """Addresses the processes listen on."""
    connections = [c for pid in pids for c in psutil.Process(pid).net_connections("tcp")]
    return {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("nanny", [False, True])
def test_dask_works_and_goes(tmp_path, nanny):
    from distributed import Client

    with clusters.dask(tmp_path, workers=2, threads=1, nanny=nanny) as cluster:
        pids = cluster.pids()
        with Client(cluster.address) as client:
            address = min(pids)
            assert client.submit(os.getpid, workers=[address]).result() == pids[address]
        assert len(pids) == 2
        assert set(pids.values()).isdisjoint(cluster.workers) == nanny
        members = cluster.processes.members()
        assert listening(members) == {"127.0.0.1"}
    assert [pid for pid in members if clusters.alive(pid)] == []


@pytest.mark.usefixtures("java")
def test_spark_works_and_goes(tmp_path):
    env = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    with clusters.spark(tmp_path / "cluster", workers=2, cores=1, memory="1g") as cluster:
        driver = subprocess.Popen(
            [sys.executable, "-c", SPARK_JOB, cluster.url],
            cwd=tmp_path,
            env=os.environ | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            application, squares = driver.stdout.readline().split()
            assert int(squares) == sum(x * x for x in range(100))
            assert len(cluster.executors(application)) == 2
            assert len(cluster.python_workers(application)) >= 2
            members = [*cluster.processes.members(), driver.pid]
            assert listening(cluster.processes.members()) <= {"127.0.0.1", "::ffff:127.0.0.1"}
        finally:
            driver.communicate("\n", timeout=60)
    assert driver.returncode == 0
    assert [pid for pid in members if clusters.alive(pid)] == []


def test_a_process_that_does_not_come_up_says_why(tmp_path):
    processes = clusters.Processes(tmp_path)
    processes.start("broken", [sys.executable, "-c", "raise SystemExit('no port')"])
    with pytest.raises(RuntimeError, match="broken did not come up: no port"):
        processes.wait_for("broken", "ready")
    processes.end()
