"""All services at once, for work by hand.

    python tests/services/up.py up FOLDER      start them, wait, print their addresses
    python tests/services/up.py down FOLDER    end them

A process of its own keeps them; it holds a lock in FOLDER for as long as they run.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from services.jvm import POLL, Service
from services.programs import Failed, Missing
from services.shared import NAMES, started

TOPICS = ("readings", "dead-letters", "forecasts")


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Holds the folder's lock; False if another process does."""
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def keep(folder: Path) -> None:
    """Runs the services until it is told to end; the state file says that they are up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with locked(folder) as first:
        if not first:
            sys.exit("they are up already")
        shutil.rmtree(folder / "run", ignore_errors=True)
        (folder / "keeper").write_text(str(os.getpid()))
        with started(NAMES, folder / "run") as coming:
            serve(folder, coming)


def serve(folder: Path, coming: Mapping[str, Future[Any]]) -> None:
    """Waits until all are up, writes the state file, and waits to be told to end."""
    kafka, hdfs, tsdb = (coming[name].result() for name in NAMES)
    make_topics(kafka.address)
    rows = [
        row("KAFKA", kafka.address, kafka),
        row("HDFS", hdfs.address, hdfs),
        row("WEBHDFS", f"webhdfs://{hdfs.web}", hdfs),
        row("HBASE", tsdb.hbase.address, tsdb.hbase),
        row("OPENTSDB", tsdb.url, tsdb),
    ]
    (folder / "state.new").write_text(json.dumps(rows))
    (folder / "state.new").replace(folder / "state.json")
    signal.pause()


def make_topics(address: str) -> None:
    """The topics that the configs which ship name; gapcast itself never makes one."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address})  # its answers end with it
    for made in admin.create_topics([NewTopic(name, 3, 3) for name in TOPICS]).values():
        made.result(60)


def row(name: str, address: str, service: Service) -> dict[str, object]:
    """What is shown of a service."""
    return {"name": name, "address": address, "pids": service.pids, "logs": str(service.folder)}


def up(folder: Path) -> None:
    """Starts the keeper unless one runs; prints the addresses when all is up."""
    folder.mkdir(parents=True, exist_ok=True)
    state, log = folder / "state.json", folder / "keeper.log"
    with locked(folder) as free:
        if free:
            state.unlink(missing_ok=True)
    if free:
        with log.open("w") as out:
            keeper = subprocess.Popen(
                [sys.executable, __file__, "keep", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        while not state.exists():
            if keeper.poll() is not None:
                sys.exit(log.read_text().strip())
            time.sleep(POLL)
    elif not state.exists():
        sys.exit(f"they are being started or have failed: see {log}")
    show(json.loads(state.read_text()))


def show(rows: list[dict[str, object]]) -> None:
    """A table for eyes, then lines for a shell."""
    for r in rows:
        pids = " ".join(map(str, r["pids"]))  # type: ignore[call-overload]
        print(f"{r['name']:<10} {r['address']:<50} pids {pids:<26} logs {r['logs']}")
    print()
    for r in rows:
        print(f"export {r['name']}={r['address']}")


def down(folder: Path) -> None:
    """Ends the keeper, and so the services; returns when all are gone."""
    if not folder.is_dir():
        return
    while True:
        with locked(folder) as free:
            if free:
                break
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int((folder / "keeper").read_text()), signal.SIGTERM)
        time.sleep(POLL)
    (folder / "state.json").unlink(missing_ok=True)


if __name__ == "__main__":
    act = {"up": up, "down": down, "keep": keep}[sys.argv[1]]
    try:
        act(Path(sys.argv[2]).absolute())
    except (Missing, Failed) as error:
        sys.exit(str(error))
