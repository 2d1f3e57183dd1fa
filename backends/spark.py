"""The `spark` backend: shards on the executors of Spark, batches driven by Structured Streaming.

The driver reads, grids and delivers; within each micro-batch it sends every shard its columns of
the frames, one Arrow blob a shard and frame, and takes one blob back: no row ever crosses into
Python. State stays with the executors; an RDD that is cached there, a partition a shard, makes
Spark run each shard's tasks where its state is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from pydantic import Field

from gapcast.backends.spark_worker import Task, perform
from gapcast.engine.backend import Backend
from gapcast.engine.errors import RunError, ShardsLost
from gapcast.engine.extras import extra
from gapcast.engine.grid.grid import GridFrame
from gapcast.engine.parallel import wire
from gapcast.engine.parallel.remote import Remote, RemoteParams
from gapcast.engine.parallel.workers import carry
from gapcast.engine.run.job import Job
from gapcast.engine.run.loop import RunResult
from gapcast.engine.shard.results import StepResult

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TURN = 1.0
"""Seconds of frames that one micro-batch carries, so that Spark's own cost of it is small."""

FILES = (
    "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
)
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.python.unix.domain.socket.enabled": "true",
    "spark.driver.maxResultSize": "0",
    "spark.locality.wait": "60s",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.sql.streaming.checkpointFileManagerClass": FILES,
}
"""A shard's tasks wait for its home; results are as large as they are; all executors are there
before shards are given homes; a micro-batch's log, which nothing is ever restored from, is
written the cheap way."""


class SparkBackend(Backend):
    """Starts Spark on this machine, or uses a cluster's master.

    Checkpoints are gapcast's own: Spark keeps none that matters, and one of its query may be
    thrown away at any time.
    """

    class Params(RemoteParams):
        master: str = Field(
            default="local[2]", description="Spark's master, as local[2] or spark://host:7077."
        )
        conf: dict[str, str] = Field(
            default={}, description="Spark's own settings, as spark.executor.memory: 4g."
        )

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._spark: SparkSession | None = None

    def run(self, job: Job) -> RunResult:
        """Run `job` with its shards on the executors."""
        if self._spark is not None and not self._answers():
            self.close()
        self._spark = self._spark or self._session(job)
        with (
            job.flow(self.params.batch, self.params.linger) as flow,
            ThreadPoolExecutor(1, "gapcast-spark") as pool,
        ):
            workers = Executors(job, self._spark, pool)
            try:
                _drive(self._spark, job, carry(flow, workers))
                return flow.finish(workers.finish())
            finally:
                workers.close()

    def close(self) -> None:
        """End the session, and the JVM that was started for it."""
        if self._spark is None:
            return
        spark, self._spark = self._spark, None
        gateway = spark.sparkContext._gateway
        for end in (spark.stop, spark.sparkContext.stop):  # the second one needs no JVM
            with contextlib.suppress(Exception):  # it may be gone already
                end()
        _end(gateway)

    def _answers(self) -> bool:
        """Whether the session can still be used."""
        assert self._spark is not None
        try:
            with _gone_is_lost():
                return not self._spark.sparkContext._jsc.sc().isStopped()
        except ShardsLost:
            return False

    def _session(self, job: Job) -> SparkSession:
        """A session in a JVM of its own, which writes what it has to say to ``spark.log``."""
        with extra("spark"):
            from pyspark import SparkConf, SparkContext
            from pyspark.java_gateway import launch_gateway
            from pyspark.sql import SparkSession
        if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
            raise RunError(
                "backend spark needs Java 17 or later: apt-get install openjdk-17-jre-headless, "
                "or set JAVA_HOME"
            )
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        conf = SparkConf().setMaster(self.params.master).setAppName(f"gapcast {job.name}")
        conf.setAll((self._defaults() | self.params.conf).items())
        with (job.run_dir / "spark.log").open("ab") as log, _handlers_kept():
            gateway = None
            try:
                gateway = launch_gateway(conf, {"stderr": log})
                return SparkSession(SparkContext(conf=conf, gateway=gateway))
            except Exception as error:
                if gateway is not None:
                    _end(gateway)
                reason = str(error).strip().partition("\n")[0]
                raise RunError(
                    f"backend: Spark cannot be started on {self.params.master}: {reason}; "
                    f"{log.name} says more"
                ) from error

    def _defaults(self) -> dict[str, str]:
        if not self.params.master.startswith("local"):
            return SETTINGS
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        return SETTINGS | {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": "3g",  # the driver is the executor, too
        }


def _drive(spark: SparkSession, job: Job, frames: Iterator[None]) -> None:
    """Let Structured Streaming carry `frames`, about `TURN` seconds of them a micro-batch."""
    ended, failures = threading.Event(), []

    def turn(batch: object, number: int) -> None:
        until = time.monotonic() + TURN
        try:
            while not ended.is_set() and time.monotonic() < until:
                next(frames)
        except StopIteration:
            ended.set()
        except BaseException as error:
            failures.append(error)
            ended.set()

    with tempfile.TemporaryDirectory(prefix="gapcast-spark-") as scratch:
        ticks = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 1).load()
        writer = ticks.writeStream.foreachBatch(turn).queryName(job.name)
        with _gone_is_lost():
            query = writer.option("checkpointLocation", scratch).start()
            try:
                while not ended.wait(0.2) and query.isActive:
                    pass
            finally:
                query.stop()
    if failures:
        raise failures[0]
    if not ended.is_set():
        with _gone_is_lost():
            raise ShardsLost(f"Spark ended the query: {query.exception()}")


class Executors(Remote):
    """Shards kept by Spark's executors."""

    def __init__(self, job: Job, spark: SparkSession, pool: ThreadPoolExecutor) -> None:
        self.context = spark.sparkContext
        super().__init__(job, self.context.defaultParallelism)
        self.pool = pool
        self.run = uuid4().hex
        self.columns = [plan.columns() for plan in self.plans]
        for path in job.plan.loose_modules():
            self.context.addPyFile(str(path))
        count = len(self.shares)
        with _gone_is_lost():
            self.home = self.context.parallelize(list(range(count)), count).persist()
            self.home.count()
        self._on_shards(
            [("begin", _packed(*self.beginning(i, c))) for i, c in enumerate(self.columns)]
        )

    def step(self, frame: GridFrame) -> Callable[[], StepResult]:
        """Send each shard its columns of the frame; the job runs while the driver goes on."""
        tasks: list[Task] = [
            ("step", _packed(wire.of_frame(frame.narrow(columns)))) for columns in self.columns
        ]
        running = self.pool.submit(self._on_shards, tasks)
        return lambda: self.joined(frame, running.result())

    def ask(self, what: Literal["snapshot", "finish"]) -> list[wire.Parcel]:
        """What each shard answers."""
        return self._on_shards([(what, [])] * len(self.shares))

    def close(self) -> None:
        """Give up the shards' homes, so that the next ones are spread over all executors."""
        with contextlib.suppress(Exception):  # Spark may be gone
            self.home.unpersist(blocking=True)

    def alive(self) -> tuple[int, int, int]:
        """Shards, executors, executors there should be: Spark replaces the lost ones itself."""
        with _gone_is_lost():
            status = self.context._jsc.sc().statusTracker().getExecutorInfos()
        executors = max(1, len(status) - 1)  # the driver is listed, too
        return len(self.shares), executors, executors

    def _on_shards(self, tasks: Sequence[Task]) -> list[wire.Parcel]:
        """Do a task on every shard, at its home. Raises what a task raised."""
        with _gone_is_lost():
            sent = self.context.parallelize(tasks, len(tasks))
            done = self.home.zip(sent).mapPartitions(partial(perform, self.run)).collect()
        for what, *rest in done:
            if what == "lost":
                raise ShardsLost(rest[0])
            if what != "done":
                message, trace = rest
                where = "" if what == "error" else "on a Spark executor: "
                raise RunError(where + message) from RuntimeError(trace)
        return [wire.unpack(blob) if blob else ({}, {}) for _, blob in done]


def _packed(*parcels: wire.Parcel) -> list[bytes]:
    return [wire.pack(parcel).to_pybytes() for parcel in parcels]


@contextlib.contextmanager
def _gone_is_lost() -> Iterator[None]:
    """Executors or the JVM that die in the middle of a call to Spark are lost shards, no bug."""
    from py4j.protocol import Py4JError

    try:
        yield
    except (Py4JError, OSError) as error:
        reason = str(error).strip().replace("\n", " ")[:300]
        raise ShardsLost(f"Spark gave a call up: {reason}") from error


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """PySpark takes SIGINT for itself; whoever had it gets it back."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _end(gateway: Any) -> None:
    """End the JVM behind a gateway, and let the next session have one of its own."""
    from pyspark import SparkContext

    gateway.shutdown()
    gateway.proc.stdin.close()  # the JVM ends with it
    gateway.proc.wait()
    if SparkContext._gateway is gateway:
        SparkContext._gateway = SparkContext._jvm = None
