"""``manifest.json``: the config as run, versions, counts, and how the run ended."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gapcast.engine._version import VERSION
from gapcast.engine.checkpoint.savepoints import claim
from gapcast.engine.storage import replace

NAME = "manifest.json"
RESERVED = 1 << 17
"""Bytes that are held free on the disk for what is noted at the end."""


def versions() -> dict[str, str]:
    """Versions of what computes the numbers."""
    parts = {name: version(name) for name in ("numpy", "numba", "pyarrow", "pydantic")}
    return {"gapcast": VERSION, "python": platform.python_version(), **parts}


class Manifest:
    """Written when a run begins and again, whole or not at all, whenever it changes.

    Until its end is noted no other process can run the same folder (RunError).
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], generation: str) -> None:
        self._claim = claim(folder)
        self.path = folder / NAME
        self.content: dict[str, Any] = {
            "state": "running",
            "generation": generation,
            "began": _now(),
            "versions": versions(),
            "machine": {"system": platform.platform(), "processor": platform.machine()},
            "config": dict(config),
        }
        self._reserve = folder / ".reserve"
        self._reserve.write_bytes(bytes(RESERVED))
        self._write()

    def end(self, state: str, **more: Any) -> None:
        """Note how the run ended: ``complete``, ``interrupted`` or ``failed``; on a full disk,
        too."""
        self.content |= {"state": state, "ended": _now(), **more}
        self._reserve.unlink(missing_ok=True)
        self._write()
        self._claim.close()

    def _write(self) -> None:
        text = json.dumps(self.content, indent=2) + "\n"
        replace(self.path, lambda file: file.write(text.encode()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
