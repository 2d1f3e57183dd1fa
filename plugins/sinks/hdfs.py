"""The `hdfs` sink: the files of the `files` sink on a Hadoop file system, exactly once too."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gapcast.engine.redaction import secrets_hidden
from gapcast.engine.sink import JobInfo, Reach
from gapcast.engine.storage import Folder, check_url, open_folder
from gapcast.engine.units import expecting
from gapcast.plugins.sinks.parquet import ParquetParams, ParquetSink

PATIENCE = {
    "dfs.client.failover.max.attempts": "4",
    "dfs.client.failover.sleep.max.millis": "2000",
}
"""hdfs-native would look for a name node for three minutes in which nothing can be told or
stopped; after these seven seconds the engine tries again, for ever."""


def _address(url: str) -> str:
    found = urlsplit(url)
    known = found.scheme in ("hdfs", "viewfs", "webhdfs")
    if not known or not found.netloc or not found.path.strip("/"):
        raise expecting(
            "a URL such as hdfs://name-node:9000/gapcast or webhdfs://name-node:9870/gapcast"
        )
    return check_url(url)


class HdfsSink(ParquetSink):
    """Writes Parquet files into a folder a day on HDFS: aside, closed, renamed.

    ``hdfs://`` speaks the native protocol (hdfs-native), which replaces a file in one step.
    ``webhdfs://`` goes through the HTTP gateway, for where its ports alone are open.

    Settings of a cluster (name services, ``viewfs`` mounts) come from core-site.xml and
    hdfs-site.xml in ``$HADOOP_CONF_DIR`` or ``$HADOOP_HOME/etc/hadoop``; `options` go before them.
    The user is ``$HADOOP_USER_NAME`` or whoever runs this; with WebHDFS that of `options` or the
    URL. With Kerberos (the library libgssapi_krb5 must be installed) it is the principal of the
    ticket cache, ``$KRB5CCNAME``, or of the keytab, ``$KRB5_CLIENT_KTNAME``; a token file is
    ``$HADOOP_TOKEN_FILE_LOCATION``. WebHDFS takes `options: {kerberos: true}` and the package
    requests-kerberos.
    """

    class Params(ParquetParams):
        url: Annotated[str, AfterValidator(_address)] = Field(
            description="Folder to write to, such as `hdfs://name-node:9000/gapcast/forecasts`; "
            "also viewfs:// and webhdfs://."
        )
        ahead: Annotated[str, AfterValidator(_address)] | None = Field(
            default=None,
            description="Folder for the rows ahead; by default `url` with -ahead behind it.",
        )
        options: Annotated[dict[str, Any], AfterValidator(secrets_hidden)] = Field(
            default={},
            description="Settings for the driver: Hadoop's of hdfs-native, such as "
            "`dfs.ha.namenodes.cluster`, or those of fsspec's WebHDFS, such as `kerberos`.",
        )

    params: Params

    @property
    def reach(self) -> Reach:
        """Wherever the cluster is known."""
        return Reach.ANYWHERE

    def place(self, job: JobInfo) -> tuple[Folder, Folder]:
        """As the config says."""
        url = self.params.url
        ahead = self.params.ahead or f"{url.rstrip('/')}-ahead"
        options = self.params.options
        if not url.startswith("webhdfs://"):
            options = PATIENCE | {key: _hadoop(value) for key, value in options.items()}
        return open_folder(url, options), open_folder(ahead, options)


def _hadoop(value: Any) -> str:
    """A value as Hadoop's settings have it: text, booleans in small letters."""
    return str(value).lower() if isinstance(value, bool) else str(value)
