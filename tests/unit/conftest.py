"""What several of these tests need."""

from __future__ import annotations

import sys

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
