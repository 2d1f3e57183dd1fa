"""docs/backends.md says what is guaranteed: for every plugin there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from gapcast.engine.registry import Kind, Registry

PAGE = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()


def registered(kind):
    return {
        e.name for e in Registry.installed().entries if (e.kind, e.package) == (kind, "gapcast")
    }


def test_the_guarantee_of_every_sink_is_the_one_it_declares():
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([a-z-]+) \|", PAGE, re.M))
    declared = {
        name: Registry.installed().load(Kind.SINK, name).delivery for name in registered(Kind.SINK)
    }
    assert rows == declared


def test_every_source_and_backend_is_named():
    (sentence,) = re.findall(r"^for the sources (.*?) on the backends (.*?)\.$", PAGE, re.M | re.S)
    named = [set(re.findall(r"`([a-z-]+)`", part)) for part in sentence]
    assert named == [registered(Kind.SOURCE), registered(Kind.BACKEND)]
