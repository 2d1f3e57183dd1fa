"""PostgreSQL as a plain process on loopback, of a user without rights: it runs as no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil
import psycopg
from services.jvm import HOST, Process, Service, free_ports
from services.programs import program

PASSWORD = "pass-of-a-test"
SETTINGS = {
    "listen_addresses": HOST,
    "fsync": "off",  # processes are killed here, not machines
    "max_connections": 40,
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "log_min_messages": "warning",
}


class Postgres(Service):
    """One server with a database `gapcast` of a user of that name."""

    seconds = 60

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.port,) = free_ports(1)
        self._data: Path | None = None

    @property
    def keys(self) -> dict[str, str | int]:
        """The server as a sink's section names it."""
        return {
            "host": HOST, "port": self.port, "database": "gapcast", "user": "gapcast",
            "password": PASSWORD,
        }  # fmt: skip

    def connect(self, **changes: str) -> psycopg.Connection:
        """A connection of the database's own client."""
        keys = {**self.keys, **changes}
        keys["dbname"] = keys.pop("database")
        return psycopg.connect(**keys, autocommit=True)

    def begin(self) -> None:
        initdb, postgres = program("initdb"), program("postgres")
        self._data = Path(tempfile.mkdtemp(prefix="gapcast-postgres-"))
        password = self._data / "password"
        password.write_text(PASSWORD)
        drop: list[str] = []
        if os.geteuid() == 0:
            for path in (self._data, password):
                shutil.chown(path, "postgres", "postgres")
            drop = [program("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        make = [
            *drop, initdb, "-D", self._data / "db", "-U", "gapcast", "-A",
            "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
        ]  # fmt: skip
        with (self.folder / "initdb.log").open("wb") as log:
            subprocess.run(make, cwd=self._data, stdout=log, stderr=log, check=True)
        settings = [
            word
            for key, value in {
                **SETTINGS, "port": self.port, "unix_socket_directories": self._data,
            }.items()
            for word in ("-c", f"{key}={value}")
        ]  # fmt: skip
        server = [*drop, postgres, "-D", self._data / "db", *settings]
        self.nodes = [Process("postgres", self.folder, server)]
        self.launch(self.nodes[0])

    def ready(self) -> bool:
        try:
            with self.connect(database="postgres") as client:
                if not client.execute(
                    "SELECT 1 FROM pg_database WHERE datname = 'gapcast'"
                ).fetchone():
                    client.execute("CREATE DATABASE gapcast")
        except psycopg.OperationalError:
            return False
        return True

    def kill(self, i: int) -> None:
        """SIGKILL to the server and each of its processes, which are in groups of their own."""
        server = psutil.Process(self.nodes[i].pid)
        children = server.children(recursive=True)
        super().kill(i)
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children)

    def restart(self, i: int) -> None:
        """Starts a server that was killed, on its old data and port."""
        self.launch(self.nodes[i])
        self.await_ready()

    def stop(self) -> None:
        super().stop()
        if self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)
