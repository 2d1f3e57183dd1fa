"""How the suite is spread over workers (``-n 2 --dist loadscope``), and what all tests rely on."""

from __future__ import annotations

import os
import re
import signal

import pytest
from services.jvm import QUICK
from services.shared import NAMES
from xdist.scheduler import LoadScopeScheduling

from gapcast.engine import redaction

SERVICES = re.compile(
    r"tests/integration/test_(end_to_end|far_checkpoints|grafana|hdfs|kafka|opentsdb|services)"
)
"""Modules whose tests share services: one worker runs them all, one after the other."""
LONGEST = ("tests/integration", "tests/faults", "tests/contract")
"""Begun first, so that at the end of the suite no worker is left alone with one of them."""

for variable in ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS"):
    os.environ.setdefault(variable, " ".join(QUICK))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it starts in the background ignore Ctrl-C, and so all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def secrets_of_one_test(monkeypatch):
    """What a test gives as a secret is searched for in that test only, not in the next ones."""
    monkeypatch.setattr(redaction, "_known", dict(redaction._known))


class Scheduler(LoadScopeScheduling):
    """Tests of a class or of a module, which share fixtures, stay together; so do those of
    services, which are started once and broken by one test at a time."""

    def _split_scope(self, nodeid):
        return "services" if SERVICES.match(nodeid) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    """The one above, for ``--dist loadscope``."""
    return Scheduler(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items):
    """Services first, those that are up soonest before all; the rest in its order."""
    for item in items:
        if _services(item) and not SERVICES.match(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} asks for a service: name its module, SERVICES")
    items.sort(key=_rank)


def _services(item):
    return [i for i, name in enumerate(NAMES) if name in item.fixturenames]


def _rank(item):
    if SERVICES.match(item.nodeid):
        asked = _services(item)
        return 0, max(asked, default=len(NAMES)), len(asked)
    folders = [item.nodeid.startswith(folder) for folder in LONGEST]
    return 1, folders.index(True) if any(folders) else len(folders)
