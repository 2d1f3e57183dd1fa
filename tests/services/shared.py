"""Services of a test session: started side by side, each waited for by whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services.hbase import Hbase
from services.hdfs import Hdfs
from services.jvm import Service
from services.kafka import Kafka
from services.opentsdb import OpenTsdb

NAMES = ("kafka", "hdfs", "opentsdb")
"""In the order in which they are up."""


@contextmanager
def started(names: Iterable[str], folder: Path) -> Iterator[Mapping[str, Future[Service]]]:
    """Services by name, as they come up; all end with the block.

    A result is the service, or raises `Missing` or `Failed`.
    """
    with ExitStack() as stack, ThreadPoolExecutor(len(NAMES)) as pool:
        yield {
            name: pool.submit(stack.enter_context, _service(name, folder / name)) for name in names
        }


@contextmanager
def _service(name: str, folder: Path) -> Iterator[Service]:
    if name == "opentsdb":
        with Hbase(folder / "hbase") as hbase, OpenTsdb(folder / "tsd", hbase) as tsdb:
            yield tsdb
    else:
        with {"kafka": Kafka, "hdfs": Hdfs}[name](folder) as service:
            yield service
