"""``hdfs://`` and ``viewfs://`` by hdfs-native."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import Any

from gapcast.engine.extras import extra

with extra("hdfs"):
    from hdfs_native.fsspec import HdfsFileSystem

_REMOTE = re.compile(r'RPCError\("[\w.$]*?(\w+)", "(.*?)(?:"\))?')
"""What a name node answered: Java's class and its message, in which quotes are escaped."""


def _telling(name: str) -> Callable[..., Any]:
    """The driver's method of that name, with OSError for its RuntimeError."""

    def call(self: Hdfs, *arguments: Any, **more: Any) -> Any:
        try:
            return getattr(super(Hdfs, self), name)(*arguments, **more)
        except RuntimeError as error:
            raise _as_os_error(error) from error

    return call


def _as_os_error(error: RuntimeError) -> OSError:
    text = re.split(r"\n|\\n\\tat", str(error), maxsplit=1)[0]  # Java's stack comes next
    remote = _REMOTE.fullmatch(text)
    code = errno.EACCES if "AccessControlException" in text else errno.EIO
    said = f"{remote[1]}: {remote[2]}".replace('\\"', '"') if remote else text
    return OSError(code, said)


class Hdfs(HdfsFileSystem):
    """Raises OSError where hdfs-native raises RuntimeError; replaces files in one step."""

    cat_file = _telling("cat_file")
    info = _telling("info")
    ls = _telling("ls")
    mkdir = _telling("mkdir")
    mv = _telling("mv")
    pipe_file = _telling("pipe_file")
    rm = _telling("rm")

    def replace(self, path1: str, path2: str) -> None:
        """Move a file, into the place of the one that is there if there is one."""
        self.mv(path1, path2, overwrite=True)


class Viewfs(Hdfs):
    """The same, through the mounts that Hadoop's settings name."""

    protocol = "viewfs"
