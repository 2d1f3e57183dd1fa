"""What several of these tests need."""

from __future__ import annotations

import gzip
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def site(tmp_path_factory, monkeypatch):
    """A folder on sys.path, like one that pip installs into; what it held is forgotten after."""
    folder = tmp_path_factory.mktemp("site")
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name, module in list(sys.modules.items()):
        if str(folder) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def sample():
    """(144, 100) humidity and temperature of each of the sample's motes in turn."""
    path = Path(__file__).parents[2] / "data" / "intel-lab-3days.txt.gz"
    start, values = datetime(2004, 3, 1), np.full((144, 100), np.nan)
    with gzip.open(path, "rt") as lines:
        for line in lines:
            day, time, _, mote, temperature, humidity, *_ = line.split()
            step = (datetime.fromisoformat(f"{day} {time}") - start).total_seconds() // 1800
            values[int(step), 2 * int(mote) - 2 : 2 * int(mote)] = humidity, temperature
    return values


@pytest.fixture(scope="module")
def lab(sample):
    """(144, 50) temperatures of the sample."""
    return np.ascontiguousarray(sample[:, 1::2])
