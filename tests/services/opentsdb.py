"""An OpenTSDB daemon on an HBase of `services.hbase`, on loopback."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from services.hadoop import OPTIONS
from services.hbase import Hbase
from services.jvm import HOST, Jvm, Service, free_ports
from services.maven import classpath
from services.programs import program

TABLES = Path(__file__).with_name("CreateTables.java")
LOGGING = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %-5level %logger{1}: %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""


class OpenTsdb(Service):
    """One daemon, which takes points and answers queries at `url`."""

    def __init__(self, folder: Path, hbase: Hbase) -> None:
        super().__init__(folder)
        self.hbase = hbase
        (self.port,) = free_ports(1)

    @property
    def url(self) -> str:
        """Where its HTTP interface begins: ``url + "/api/put"``."""
        return f"http://{HOST}:{self.port}"

    def begin(self) -> None:
        program("javac")  # a bare runtime could not run the source below
        tables = Jvm("tables", self.folder, self.hbase.classpath, [str(TABLES)], OPTIONS)
        self.launch(tables)
        for name in ("static", "cache"):
            (self.folder / name).mkdir(exist_ok=True)
        settings = self.folder / "opentsdb.conf"
        settings.write_text("".join(f"{k} = {v}\n" for k, v in self.settings().items()))
        (self.folder / "logback.xml").write_text(LOGGING)
        jars = f"{self.folder}:{classpath('opentsdb')}"
        command = ["net.opentsdb.tools.TSDMain", f"--config={settings}"]
        tables.finish(self.seconds)
        self.nodes = [Jvm("opentsdb", self.folder, jars, command)]
        self.launch(self.nodes[0])

    def settings(self) -> dict[str, object]:
        """What it is set up with."""
        return {
            "tsd.network.bind": HOST,
            "tsd.network.port": self.port,
            "tsd.http.staticroot": self.folder / "static",
            "tsd.http.cachedir": self.folder / "cache",
            "tsd.http.request.enable_chunked": "true",
            "tsd.http.request.max_chunk": 1 << 20,
            "hbase.rpcs.buffered_flush_interval": 50,  # ms; else a synced put takes a second
            "tsd.http.query.allow_delete": "true",
            "tsd.core.enable_ui": "false",
            "tsd.core.auto_create_metrics": "true",
            "tsd.storage.fix_duplicates": "true",
            "tsd.storage.flush_interval": 100,
            "tsd.storage.hbase.zk_quorum": self.hbase.address,
            "tsd.storage.hbase.zk_basedir": "/hbase",
            "hbase.meta.scan": "true",
        }

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/version", timeout=2) as answer:
                return bool(json.load(answer)["version"])
        except OSError:
            return False
