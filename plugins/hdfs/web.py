"""``webhdfs://``, by fsspec's own client of Hadoop's HTTP gateway."""

from __future__ import annotations

import errno
from typing import Any

from gapcast.engine.extras import extra

with extra("hdfs"):
    from fsspec.implementations.webhdfs import WebHDFS
    from requests import Response


class WebHdfs(WebHDFS):
    """Raises OSError where WebHDFS raises what it thinks the name node means, or nothing."""

    def _call(self, op: str, *arguments: Any, **more: Any) -> Response:
        try:
            answer: Response = super()._call(op, *arguments, **more)
        except (RuntimeError, ValueError) as error:
            raise OSError(errno.EIO, str(error).partition("\n")[0]) from error
        if op == "RENAME" and answer.json() == {"boolean": False}:  # which has status 200
            raise OSError(errno.EIO, "could not be moved into its place")
        return answer
