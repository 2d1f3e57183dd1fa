"""HDFS: a name node (node 0) and data nodes (1, 2, ...), WebHDFS on, on loopback."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from services.hadoop import OPTIONS, lay_out
from services.jvm import HOST, Jvm, Service, free_ports
from services.maven import classpath

NAME = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATA = "org.apache.hadoop.hdfs.server.datanode.DataNode"


class Hdfs(Service):
    """A name node and `data_nodes` others; files have up to three copies."""

    def __init__(self, folder: Path, data_nodes: int = 3) -> None:
        super().__init__(folder)
        self.data_nodes = data_nodes
        self._rpc, self._http, *self._ports = free_ports(2 + 3 * data_nodes)

    @property
    def address(self) -> str:
        """URL of the root, for native clients."""
        return f"hdfs://{HOST}:{self._rpc}"

    @property
    def web(self) -> str:
        """Host and port of WebHDFS."""
        return f"{HOST}:{self._http}"

    @property
    def configuration(self) -> Path:
        """Folder to name in ``HADOOP_CONF_DIR``."""
        return self.folder / "name"

    def begin(self) -> None:
        lay_out(self.configuration, core=self.core(), hdfs=self.name_node())
        form = self._node("format", self.configuration, [NAME, "-format", "-nonInteractive"])
        self.launch(form)
        self.nodes = [self._node("name", self.configuration, [NAME])]
        for i in range(1, self.data_nodes + 1):
            folder = self.folder / f"data-{i}"
            lay_out(folder, core=self.core(), hdfs=self.data_node(i, folder))
            self.nodes.append(self._node(f"data-{i}", folder, [DATA]))
            self.launch(self.nodes[i])
        form.finish(self.seconds)
        self.launch(self.nodes[0])

    def _node(self, name: str, settings: Path, command: list[str]) -> Jvm:
        for pages in ("hdfs", "datanode"):  # not in the jars, and the web server insists
            (settings / "webapps" / pages).mkdir(parents=True, exist_ok=True)
        jars = f"{settings}:{classpath('hdfs')}"
        return Jvm(name, self.folder, jars, command, OPTIONS)

    def core(self) -> dict[str, object]:
        """What all nodes are set up with."""
        return {
            "fs.defaultFS": self.address,
            "hadoop.tmp.dir": self.folder / "tmp",
            "ipc.client.connect.max.retries": 100,
            "ipc.client.connect.retry.interval": 200,
        }

    def name_node(self) -> dict[str, object]:
        """What the name node is set up with besides."""
        return {
            "dfs.namenode.name.dir": (self.folder / "name" / "image").as_uri(),
            "dfs.namenode.rpc-address": f"{HOST}:{self._rpc}",
            "dfs.namenode.http-address": self.web,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.safemode.extension": 0,
            "dfs.namenode.safemode.threshold-pct": "1.0",
            "dfs.namenode.redundancy.interval.seconds": "1s",
            "dfs.namenode.heartbeat.recheck-interval": 1000,
            "dfs.heartbeat.interval": 1,
            "dfs.namenode.stale.datanode.interval": 3000,
            "dfs.namenode.avoid.read.stale.datanode": "true",
            "dfs.namenode.avoid.write.stale.datanode": "true",
            "dfs.namenode.handler.count": 4,
            "dfs.replication": min(3, self.data_nodes),
            "dfs.permissions.enabled": "false",
            "dfs.webhdfs.enabled": "true",
        }

    def data_node(self, i: int, folder: Path) -> dict[str, object]:
        """What data node `i` is set up with besides."""
        data, ipc, http = self._ports[3 * i - 3 : 3 * i]
        return {
            "dfs.datanode.data.dir": (folder / "blocks").as_uri(),
            "dfs.datanode.hostname": "localhost",
            "dfs.datanode.address": f"{HOST}:{data}",
            "dfs.datanode.ipc.address": f"{HOST}:{ipc}",
            "dfs.datanode.http.address": f"{HOST}:{http}",
            "dfs.heartbeat.interval": 1,
            "dfs.blockreport.initialDelay": 0,
            "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
        }

    def ready(self) -> bool:
        try:
            state = _bean(self._http, "NameNode", "FSNamesystemState")
            return (
                state.get("FSState") == "Operational"
                and state.get("NumLiveDataNodes") == self.data_nodes
                and state.get("UnderReplicatedBlocks") == 0
                and all(map(_joined, self._ports[2::3]))
            )
        except OSError:
            return False


def _joined(port: int) -> bool:
    """Whether the data node with this HTTP port has a name node that knows it."""
    actors = json.loads(
        str(_bean(port, "DataNode", "DataNodeInfo").get("BPServiceActorInfo", "[]"))
    )
    return bool(actors) and all(a["ActorState"] == "RUNNING" for a in actors)


def _bean(port: int, service: str, name: str) -> dict[str, object]:
    """What a node measures of itself; empty before it does."""
    address = f"http://{HOST}:{port}/jmx?qry=Hadoop:service={service},name={name}"
    with urllib.request.urlopen(address, timeout=5) as answer:
        beans: list[dict[str, object]] = json.load(answer)["beans"]
    return beans[0] if beans else {}
