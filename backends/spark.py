"""The `spark` backend: shards on the executors of Spark, batches driven by Structured Streaming.

The driver reads, grids and delivers; within each micro-batch it sends every shard its columns of
the frames, one Arrow blob a shard and frame, and takes one blob back: no row ever crosses into
Python. State stays with the executors; an RDD that is cached there, a partition a shard, makes
Spark run each shard's tasks where its state is.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from uuid import uuid4

from pydantic import AfterValidator, Field

from gapcast.backends.spark_worker import Task, perform
from gapcast.engine.backend import Backend
from gapcast.engine.errors import RunError, ShardsLost
from gapcast.engine.extras import extra
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.parallel import wire
from gapcast.engine.parallel.remote import Remote, RemoteParams
from gapcast.engine.parallel.workers import Work, Workers
from gapcast.engine.redaction import secrets_hidden
from gapcast.engine.shard.results import StepResult
from gapcast.engine.state import Parcel

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming import StreamingQuery

T = TypeVar("T")

ARGUMENTS = "PYSPARK_SUBMIT_ARGS"
"""The variable of the environment that `spark-submit` gets its arguments from."""

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
        conf: Annotated[dict[str, str], AfterValidator(secrets_hidden)] = Field(
            default={}, description="Spark's own settings, as spark.executor.memory: 4g."
        )

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.batch, self.linger = params.batch, params.linger
        self._spark: SparkSession | None = None

    @contextlib.contextmanager
    def workers(self, work: Work) -> Iterator[Workers]:
        """The executors of the session."""
        if self._spark is not None and not self._answers():
            self.close()
        self._spark = self._spark or self._session(work)
        with _streaming(self._spark, work.name) as turns:
            executors = Executors(work, self._spark, turns)
            try:
                yield executors
            finally:
                executors.close()

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

    def _session(self, work: Work) -> SparkSession:
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
        conf = SparkConf().setMaster(self.params.master).setAppName(f"gapcast {work.name}")
        conf.setAll((self._defaults() | self.params.conf).items())
        with (work.run_dir / "spark.log").open("ab") as log, _handlers_kept():
            gateway = None
            try:
                with _submitted(conf.getAll()):
                    gateway = launch_gateway(None, _Started(stderr=log, process_group=0))
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
            "spark.authenticate": "true",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": "3g",  # the driver is the executor, too
        }


@contextlib.contextmanager
def _submitted(settings: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Within it a JVM is started with `settings`, which only this user can read: not as arguments,
    which every user of the machine sees, but from a file, which is gone after it."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf", encoding="utf-8") as file:
        for name, value in settings:
            escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            file.write(f"{name}={escaped}\n")
        file.flush()
        before = os.environ.get(ARGUMENTS)
        rest = before or "pyspark-shell"
        os.environ[ARGUMENTS] = (
            f"--load-spark-defaults --properties-file {shlex.quote(file.name)} {rest}"
        )
        try:
            yield
        finally:
            if before is None:
                del os.environ[ARGUMENTS]
            else:
                os.environ[ARGUMENTS] = before


class _Started(dict[str, Any]):
    """How the JVM's process is started: without the function that pyspark wants to run in it first.

    With one, Python forks, and has libraries tidy up in the child; some wait there for threads
    that the child does not have (a client of HDFS that fsspec drops). A process group of its own is
    as good for what the function does: Ctrl-C does not reach it.
    """

    def __setitem__(self, key: str, value: object) -> None:
        if key != "preexec_fn":
            super().__setitem__(key, value)


class Turns:
    """The micro-batches of a streaming query: each does, for about `TURN` seconds, what it is
    given."""

    def __init__(self) -> None:
        self.query: StreamingQuery | None = None
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._calls = queue.SimpleQueue()
        self._ended = False

    def turn(self, batch: object, number: int) -> None:
        """One micro-batch; what `foreachBatch` calls."""
        until = time.monotonic() + TURN
        while not self._ended and (left := until - time.monotonic()) > 0:
            try:
                given = self._calls.get(timeout=left)
            except queue.Empty:
                return
            if given is None:
                self._ended = True
                return
            call, future = given
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

    def submit(self, call: Callable[[], T]) -> Callable[[], T]:
        """Have `call` done within a micro-batch, after those before it; what is returned waits for
        its result. Raises what it raised; ShardsLost when the query has ended before."""
        future: Future[T] = Future()
        self._calls.put((call, future))
        return partial(self._wait, future)

    def end(self) -> None:
        """Let the micro-batch in progress end."""
        self._calls.put(None)

    def _wait(self, future: Future[T]) -> T:
        assert self.query is not None
        while not wait([future], timeout=0.2).done:
            with _gone_is_lost():
                if not self.query.isActive and not future.done():
                    raise ShardsLost(f"Spark ended the query: {self.query.exception()}")
        return future.result()


@contextlib.contextmanager
def _streaming(spark: SparkSession, name: str) -> Iterator[Turns]:
    """Structured Streaming, its micro-batches one after the other until this is left."""
    turns = Turns()
    with tempfile.TemporaryDirectory(prefix="gapcast-spark-") as scratch:
        with _gone_is_lost():
            ticks = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 1).load()
            writer = ticks.writeStream.foreachBatch(turns.turn).queryName(name)
            turns.query = writer.option("checkpointLocation", scratch).start()
        try:
            yield turns
        finally:
            turns.end()
            with contextlib.suppress(ShardsLost), _gone_is_lost():
                turns.query.stop()


class Executors(Remote):
    """Shards held by Spark's executors."""

    def __init__(self, work: Work, spark: SparkSession, turns: Turns) -> None:
        self.context = spark.sparkContext
        super().__init__(work, self.context.defaultParallelism)
        self.turns = turns
        self.run = uuid4().hex
        self.columns = [plan.columns() for plan in self.plans]
        for path in work.plan.loose_modules():
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
        done = self.turns.submit(partial(self._on_shards, tasks))
        return lambda: self.joined(frame, done())

    def ask(self, what: Literal["snapshot", "finish"]) -> list[Parcel]:
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

    def _on_shards(self, tasks: Sequence[Task]) -> list[Parcel]:
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


def _packed(*parcels: Parcel) -> list[bytes]:
    return [wire.pack(parcel).to_pybytes() for parcel in parcels]


@contextlib.contextmanager
def _gone_is_lost() -> Iterator[None]:
    """Executors or the JVM that die in the middle of a call to Spark are lost shards, no bug."""
    from py4j.protocol import Py4JError

    try:
        yield
    except (Py4JError, OSError) as error:
        reason = str(error).strip().replace("\n", " ")[:300]
        raise ShardsLost(f"a call to Spark failed: {reason}") from error


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
