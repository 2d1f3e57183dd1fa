"""Programs that services need, and what is said where they are missing or break."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PACKAGES = {
    "java": "a Java 17 development kit (Debian: openjdk-17-jdk-headless)",
    "javac": "a Java 17 development kit (Debian: openjdk-17-jdk-headless)",
    "mosquitto": "an MQTT broker (Debian: mosquitto)",
    "mvn": "Maven 3.8 or later (Debian: maven)",
    "initdb": "PostgreSQL (Debian: postgresql)",
    "postgres": "PostgreSQL (Debian: postgresql)",
    "setpriv": "util-linux",
    "prometheus": "Prometheus (Debian: prometheus)",
    "promtool": "Prometheus (Debian: prometheus)",
    "influxd": "InfluxDB 1 (Debian: influxdb)",
}


class Missing(Exception):
    """A program that must be installed first."""


class Failed(Exception):
    """A service that died or was not ready in time, with the last lines of its log."""


def program(name: str) -> str:
    """Path of `name`, below ``$JAVA_HOME`` first; raises `Missing` saying what to install."""
    home = os.environ.get("JAVA_HOME")
    beside = Path(home) / "bin" / name if home else None
    found = str(beside) if beside and beside.is_file() else shutil.which(name, path=_path())
    if found is None:
        raise Missing(f"{name} not found: install {PACKAGES[name]}")
    return found


def _path() -> str:
    """Where programs are: also where Debian puts those of PostgreSQL, the newest first."""
    apart = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, apart)])
