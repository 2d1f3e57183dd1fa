"""Real services, started when the first test asks for one and shared by all that follow."""

from __future__ import annotations

import contextlib
import os

import pytest
from services.kafka import Kafka
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
