"""HBase in one process (master, region server, ZooKeeper) on local files, on loopback."""

from __future__ import annotations

from pathlib import Path

from services.hadoop import OPTIONS, lay_out
from services.jvm import HOST, Jvm, Service, free_ports
from services.maven import classpath


class Hbase(Service):
    """One node. Clients find it through ZooKeeper at `address`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port, self._master, self._server = free_ports(3)

    @property
    def address(self) -> str:
        """Host and port of ZooKeeper."""
        return f"{HOST}:{self.port}"

    @property
    def classpath(self) -> str:
        """Settings and jars, for a client of this HBase."""
        return f"{self.folder}:{classpath('hbase')}"

    def begin(self) -> None:
        lay_out(self.folder, hbase=self.settings())
        command = ["org.apache.hadoop.hbase.master.HMaster", "start"]
        self.nodes = [Jvm("hbase", self.folder, self.classpath, command, OPTIONS, heap=512)]
        self.launch(self.nodes[0])

    def settings(self) -> dict[str, object]:
        """What it is set up with."""
        return {
            "hbase.cluster.distributed": "false",
            "hbase.rootdir": (self.folder / "data").as_uri(),
            "hbase.tmp.dir": self.folder / "tmp",
            "hbase.unsafe.stream.capability.enforce": "false",
            "hbase.wal.provider": "filesystem",
            "hbase.zookeeper.quorum": HOST,
            "hbase.zookeeper.property.clientPort": self.port,
            "hbase.zookeeper.property.clientPortAddress": HOST,
            "hbase.zookeeper.property.dataDir": self.folder / "zookeeper",
            "hbase.master.hostname": "localhost",
            "hbase.unsafe.regionserver.hostname": "localhost",
            "hbase.master.ipc.address": HOST,
            "hbase.regionserver.ipc.address": HOST,
            "hbase.master.port": self._master,
            "hbase.regionserver.port": self._server,
            "hbase.master.info.port": -1,
            "hbase.regionserver.info.port": -1,
            "hbase.regionserver.handler.count": 10,
            "hbase.regionserver.msginterval": 500,
            "hbase.master.wait.on.regionservers.mintostart": 1,
            "hbase.master.wait.on.regionservers.interval": 100,
            "hbase.master.wait.on.regionservers.timeout": 500,
            "hbase.client.pause": 50,
        }

    def ready(self) -> bool:
        return self.nodes[0].said("Master has completed initialization")
