"""Processes on loopback, most of them Java: started, watched, killed by process id, started
again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from services.programs import Failed, program

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below what the system gives to outgoing connections: a killed server finds its port again."""
QUICK = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Dfile.encoding=UTF-8",
)
"""Options of every process: a quick start matters, a high peak does not."""
POLL = 0.1
"""Seconds between two looks at whether something is ready."""


def free_ports(number: int) -> list[int]:
    """Different ports of the loopback address that nobody listens on."""
    with contextlib.ExitStack() as held:
        return [_hold(held) for _ in range(number)]


def _hold(held: contextlib.ExitStack) -> int:
    while True:
        probe = held.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            probe.bind((HOST, random.SystemRandom().choice(PORTS)))
            return int(probe.getsockname()[1])


class Process:
    """One process in a process group of its own; its output goes to `log`."""

    def __init__(self, name: str, folder: Path, command: Sequence[str | Path]) -> None:
        """`command` is run in `folder`."""
        self.name = name
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    @property
    def pid(self) -> int:
        """Of the process last started."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.poll()

    def start(self) -> None:
        """Returns at once, long before the service answers; appends to the log."""
        with self.log.open("ab") as log:
            self._said_before = log.tell()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to the process and its children; returns when it is gone, at once if it was."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def finish(self, seconds: float) -> None:
        """Returns when it has ended; raises `Failed` unless it ends well and in time."""
        wait(lambda: self.exit_code is not None, seconds, f"{self.name} to end", [])
        if self.exit_code:
            raise Failed(f"{self.name} ended with {self.exit_code}:\n{self.tail()}")

    def said(self, words: str) -> bool:
        """Whether its log has `words` since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._said_before)
            return words.encode() in log.read()

    def tail(self, lines: int = 30) -> str:
        """Last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Jvm(Process):
    """One Java process."""

    def __init__(
        self,
        name: str,
        folder: Path,
        classpath: str,
        command: Sequence[str],
        options: Sequence[str] = (),
        heap: int = 256,
    ) -> None:
        """`command` is the main class and its arguments, `heap` the most MiB it may use."""
        words = folder / f"{name}.args"
        super().__init__(name, folder, [program("java"), f"@{words}"])
        arguments = [
            f"-Xmx{heap}m",
            *QUICK,
            f"-Djava.io.tmpdir={folder}",
            f"-XX:ErrorFile={folder}/{name}.crash",
            *options,
            "-cp",
            classpath,
            *command,
        ]
        words.write_text("".join(f"{_quoted(word)}\n" for word in arguments))


def _quoted(word: str) -> str:
    """A word of a Java argument file."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def wait(
    condition: Callable[[], bool], seconds: float, what: str, processes: Sequence[Process]
) -> None:
    """Polls `condition` until it holds.

    Raises `Failed` as soon as one of `processes` is dead, or after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        for process in processes:
            if process.exit_code is not None:
                raise Failed(f"{process.name} ended with {process.exit_code}:\n{process.tail()}")
        if time.monotonic() > deadline:
            logs = "\n".join(f"{p.log}:\n{p.tail()}" for p in processes)
            raise Failed(f"waited {seconds:g} s for {what}\n{logs}")
        time.sleep(POLL)


class Service:
    """Some processes that serve together, up between ``with`` and its end.

    Also gone when the process that started them is. Made anew each time: whatever `folder` held
    stays, but is not read.
    """

    seconds: float = 180
    """How long it may take to come up."""

    def __init__(self, folder: Path) -> None:
        """Data, settings and logs go below `folder`, which is made."""
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.nodes: list[Process] = []
        self._watcher: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Lays out the folder, fills `nodes` and starts each one with `launch`."""
        raise AssertionError("each service has its own")

    def ready(self) -> bool:
        """Whether every node has joined and the service answers."""
        raise AssertionError("each service has its own")

    def __enter__(self) -> Self:
        command = [sys.executable, "-IS", str(Path(__file__).with_name("watcher.py"))]
        self._watcher = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            self.begin()
            self.await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pids(self) -> list[int]:
        """Process ids, one a node."""
        return [node.pid for node in self.nodes]

    @property
    def logs(self) -> list[Path]:
        """Log files, one a node."""
        return [node.log for node in self.nodes]

    def launch(self, node: Process) -> None:
        """Starts `node` so that it dies with this process at the latest."""
        assert self._watcher is not None
        assert self._watcher.stdin is not None
        node.start()
        self._watcher.stdin.write(f"{node.pid}\n")
        self._watcher.stdin.flush()

    def await_ready(self) -> None:
        """Returns when every node serves; raises `Failed` if one dies or it takes too long."""
        wait(self.ready, self.seconds, f"{type(self).__name__} to be ready", self.nodes)

    def kill(self, i: int) -> None:
        """Kills node `i` without warning; returns when its process is gone."""
        self.nodes[i].kill()

    def restart(self, i: int) -> None:
        """Starts node `i` on its old data and port; returns when all nodes serve."""
        self.nodes[i].kill()
        self.launch(self.nodes[i])
        self.await_ready()

    def stop(self) -> None:
        """Kills every node; what is on disk is for reading, not for going on."""
        for node in reversed(self.nodes):
            node.kill()
        if self._watcher is not None:
            self._watcher.communicate()
            self._watcher = None
