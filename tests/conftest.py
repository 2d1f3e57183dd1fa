"""How the suite is spread over workers (``-n 2 --dist loadgroup``), and what all tests rely on."""

from __future__ import annotations

import os
import signal

import pytest
from services.jvm import QUICK
from services.shared import NAMES

LONGEST = ("tests/integration", "tests/faults", "tests/contract")
"""Begun first, so that at the end of the suite no worker is left alone with one of them."""

for variable in ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS"):
    os.environ.setdefault(variable, " ".join(QUICK))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has what it starts in the background ignore Ctrl-C, and so all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests of services share a worker, so that these are started once and broken by one test at a
    time; so do those of a class or module, which share fixtures."""
    items.sort(key=_rank)
    for item in items:
        together = "services" if _services(item) else item.nodeid.rpartition("::")[0]
        item.add_marker(pytest.mark.xdist_group(together))


def _services(item):
    return len({*NAMES} & {*item.fixturenames})


def _rank(item):
    """Services first, those that are up soonest before all; the rest in its order."""
    services = _services(item)
    folders = [item.nodeid.startswith(folder) for folder in LONGEST]
    return not services, services, folders.index(True) if any(folders) else len(folders)
