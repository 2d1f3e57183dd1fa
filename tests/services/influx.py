"""InfluxDB 1 as a plain process on loopback."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path

from services.jvm import HOST, Process, Service, free_ports
from services.programs import program

SETTINGS = """\
reporting-disabled = true
bind-address = "{host}:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "tsi1"
[http]
bind-address = "{host}:{port}"
log-enabled = false
max-body-size = 100000
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
"""


class Influx(Service):
    """One server, which takes lines and answers queries at `url`."""

    seconds = 60

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port, self._rpc = free_ports(2)

    @property
    def url(self) -> str:
        """Where its HTTP interface begins."""
        return f"http://{HOST}:{self.port}"

    def query(self, text: str, database: str = "") -> list[dict]:
        """The series that answer a query of InfluxQL, which may also be a command."""
        query = {"q": text, "db": database, "epoch": "u"}
        request = urllib.request.Request(
            f"{self.url}/query", urllib.parse.urlencode(query).encode()
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            (result,) = json.load(answer)["results"]
        assert "error" not in result, result
        return result.get("series", [])

    def begin(self) -> None:
        settings = self.folder / "influxdb.conf"
        settings.write_text(
            SETTINGS.format(host=HOST, port=self.port, rpc=self._rpc, folder=self.folder)
        )
        self.nodes = [
            Process("influxd", self.folder, [program("influxd"), "-config", str(settings)])
        ]
        self.launch(self.nodes[0])

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=2) as answer:
                return answer.status == 204
        except OSError:
            return False
