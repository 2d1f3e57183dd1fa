"""Real services: all that a session needs start with its first test of one, and are shared."""

from __future__ import annotations

import os

import pytest
from services.programs import Missing
from services.shared import NAMES, started


@pytest.fixture(scope="session")
def installed():
    """Calls what needs Java and Maven. Without them tests are skipped, which says what to install;
    in CI they fail."""

    def call(needs):
        try:
            return needs()
        except Missing as missing:
            if os.environ.get("CI"):
                raise
            return pytest.skip(str(missing))

    return call


@pytest.fixture(scope="session")
def services(request, tmp_path_factory):
    """Those that tests of this session ask for, by name, as they come up."""
    asked = {name for item in request.session.items for name in item.fixturenames}
    with started(sorted(asked & {*NAMES}), tmp_path_factory.mktemp("services")) as coming:
        yield coming


@pytest.fixture(scope="session")
def kafka(services, installed):
    """Three brokers, whole again after each test."""
    return installed(services["kafka"].result)


@pytest.fixture(scope="session")
def hdfs(services, installed):
    """A name node and three data nodes, whole again after each test."""
    return installed(services["hdfs"].result)


@pytest.fixture(scope="session")
def opentsdb(services, installed):
    """A daemon on an HBase of its own, ``opentsdb.hbase``; metrics are made as they come."""
    return installed(services["opentsdb"].result)
