"""Real services, started when the first test asks for one and shared by all that follow."""

from __future__ import annotations

import contextlib
import os

import pytest
from services.hbase import Hbase
from services.hdfs import Hdfs
from services.kafka import Kafka
from services.opentsdb import OpenTsdb
from services.programs import Missing


@contextlib.contextmanager
def installed():
    """Without Java or Maven the tests are not run, which says what to install; in CI they fail."""
    try:
        yield
    except Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """Three brokers, whole again after each test."""
    with installed(), Kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory):
    """A name node and three data nodes, whole again after each test."""
    with installed(), Hdfs(tmp_path_factory.mktemp("hdfs")) as hdfs:
        yield hdfs


@pytest.fixture(scope="session")
def opentsdb(tmp_path_factory):
    """A daemon on an HBase of its own, ``opentsdb.hbase``; metrics are made as they come."""
    folder = tmp_path_factory.mktemp("opentsdb")
    with installed(), Hbase(folder / "hbase") as hbase, OpenTsdb(folder / "tsd", hbase) as tsdb:
        yield tsdb
