"""Savepoints asked for from outside, and who holds a run's folder: files, for signals would not
reach a run in another container, on another host, or in a thread of a notebook.

A request is a file ``savepoint/TOKEN.wanted`` in the run's folder; its answer is the number of
the savepoint in ``savepoint/TOKEN.written``.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from gapcast.engine.errors import RunError
from gapcast.engine.storage import replace

PATIENCE = 1.0
"""Seconds to wait for a lock that someone may have taken for a moment, to see who has it."""
LOOK = 0.05
"""Seconds between two looks for an answer."""


def claim(run_dir: Path) -> TextIO:
    """Hold a run's folder until the file given back is closed or this process ends.

    Raises RunError when another process holds it.
    """
    file = (run_dir / ".lock").open("a+")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                raise RunError(
                    f"{run_dir} is in use by another process (pid {holder}); stop that one first"
                ) from None
            time.sleep(LOOK)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def running(run_dir: Path) -> bool:
    """Whether a process holds the run's folder."""
    try:
        with (run_dir / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


class Requests:
    """What a run sees of the savepoints asked of it."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "savepoint"

    def waiting(self) -> list[str]:
        """Tokens of the requests not yet answered."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return [n.removesuffix(".wanted") for n in names if n.endswith(".wanted")]

    def answer(self, tokens: Sequence[str], number: int) -> None:
        """Tell those who asked that savepoint `number` is written."""
        for token in tokens:
            with suppress(FileNotFoundError):  # withdrawn meanwhile
                (self._folder / f"{token}.wanted").unlink()
                replace(self._folder / f"{token}.written", lambda f: f.write(b"%d" % number))


def ask(run_dir: Path) -> int:
    """Ask the run that holds `run_dir` for a savepoint and wait for its number.

    Raises RunError when no process runs it, or it ends before the savepoint is written.
    """
    if not running(run_dir):
        raise RunError(
            f"{run_dir} is not running; continue from its newest checkpoint with --resume"
        )
    folder, token = run_dir / "savepoint", uuid4().hex
    wanted, written = folder / f"{token}.wanted", folder / f"{token}.written"
    folder.mkdir(exist_ok=True)
    try:
        wanted.touch()
        while not written.exists():
            if not running(run_dir) and not written.exists():
                raise RunError(
                    f"the run in {run_dir} ended before the savepoint was written; "
                    f"{run_dir / 'manifest.json'} says how"
                )
            time.sleep(LOOK)
        return int(written.read_text())
    finally:
        wanted.unlink(missing_ok=True)
        written.unlink(missing_ok=True)
