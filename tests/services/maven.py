"""Class paths of services: their jars, as pinned in ``poms/``, fetched once by Maven."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from services.programs import Failed, program

POMS = Path(__file__).parent / "poms"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
MINUTES = 20


def cache() -> Path:
    """Where class paths are kept: ``$GAPCAST_SERVICES``, or a folder below the user's cache."""
    given = os.environ.get("GAPCAST_SERVICES")
    return Path(given) if given else Path.home() / ".cache" / "gapcast" / "services"


def classpath(service: str) -> str:
    """Jars that `service` runs on, joined by colons; Maven is asked once for each pom.

    Raises `Missing` without Maven, `Failed` with Maven's words if it cannot get them.
    """
    pom = POMS / f"{service}.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    kept = cache() / f"{service}-{digest}.classpath"
    if kept.is_file() and all(map(os.path.exists, kept.read_text().split(":"))):
        return kept.read_text()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (
        (kept.parent / "lock").open("a") as lock,
        tempfile.TemporaryDirectory(dir=kept.parent) as scratch,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # two Mavens at once may break the jars they both fetch
        made = Path(scratch) / "classpath"
        _resolve(service, pom, made)
        made.replace(kept)
    return kept.read_text()


def _resolve(service: str, pom: Path, made: Path) -> None:
    command = [program("mvn"), "-B", "-q", "-f", str(pom), f"{PLUGIN}:build-classpath"]
    command += [f"-Dmdep.outputFile={made}", "-Dmdep.includeScope=runtime"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
        check=False,
    )
    if done.returncode:
        raise Failed(f"mvn could not resolve the jars of {service}:\n{done.stdout[-2000:]}")
