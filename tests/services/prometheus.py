"""Prometheus as a plain process on loopback, with the settings of docker/."""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from services.jvm import HOST, Process, Service, free_ports
from services.programs import program

SETTINGS = Path(__file__).parents[2] / "docker/serve/prometheus"


class Prometheus(Service):
    """One server, which asks `target`, ``host:port``, every second; with a token, if given."""

    seconds = 60

    def __init__(self, folder: Path, target: str, token: str | None = None) -> None:
        super().__init__(folder)
        (self.port,) = free_ports(1)
        self._target, self._token = target, token

    def ask(self, path: str, **asked: str) -> Any:
        """What is answered at a path of its interface."""
        url = f"http://{HOST}:{self.port}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[dict[str, Any]]:
        """What a query finds now: labels and value of each line."""
        return list(self.ask("query", query=expression)["result"])

    def begin(self) -> None:
        settings = yaml.safe_load((SETTINGS / "prometheus.yml").read_text())
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (job,) = settings["scrape_configs"]
        job["static_configs"] = [{"targets": [self._target]}]
        del job["authorization"]
        if self._token is not None:
            (self.folder / "token").write_text(self._token)
            job["authorization"] = {"credentials_file": str(self.folder / "token")}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        shutil.copy(SETTINGS / "alerts.yml", self.folder)
        command = [
            program("prometheus"), f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}", "--log.level=warn",
            f"--web.listen-address={HOST}:{self.port}",
        ]  # fmt: skip
        self.nodes = [Process("prometheus", self.folder, command)]
        self.launch(self.nodes[0])

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
