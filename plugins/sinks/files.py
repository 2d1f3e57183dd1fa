"""The `files` sink: Parquet files by day in a folder, each epoch whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gapcast.engine.sink import JobInfo, Reach
from gapcast.engine.storage import Folder, check_url, open_folder
from gapcast.plugins.sinks.parquet import ParquetParams, ParquetSink


def _text(path: Any) -> Any:
    return str(path) if isinstance(path, Path) else path


class FilesSink(ParquetSink):
    """Writes Parquet files into a folder a day; any Parquet reader takes them as one table."""

    class Params(ParquetParams):
        path: (
            Annotated[str, BeforeValidator(_text), Field(min_length=1), AfterValidator(check_url)]
            | None
        ) = Field(
            default=None,
            description="Folder to write to, local or a URL that fsspec can open; by default "
            "forecasts/ in the run's.",
        )
        ahead: (
            Annotated[str, BeforeValidator(_text), Field(min_length=1), AfterValidator(check_url)]
            | None
        ) = Field(
            default=None,
            description="Folder for the rows ahead; by default ahead/ in the run's, or `path` with "
            "-ahead behind it.",
        )

        shared: bool = Field(
            default=False,
            description="Whether workers on other machines find the same folder at this local "
            "path, as on a network's disk.",
        )

    params: Params

    @property
    def reach(self) -> Reach:
        """A URL is the same place anywhere, but for what a process has in its memory."""
        path, ahead = self.params.path or "", self.params.ahead
        return min(self._reach(path), self._reach(ahead or path))

    def _reach(self, path: str) -> Reach:
        protocol, remote, _ = path.partition("://")
        if protocol == "memory":
            return Reach.PROCESS
        if remote and protocol not in ("file", "local"):
            return Reach.ANYWHERE
        return Reach.ANYWHERE if self.params.shared else Reach.MACHINE

    def place(self, job: JobInfo) -> tuple[Folder, Folder]:
        """As the config says."""
        final, ahead = self.params.path, self.params.ahead
        beside = f"{final.rstrip('/')}-ahead" if final else job.run_dir / "ahead"
        return open_folder(final or job.run_dir / "forecasts"), open_folder(ahead or beside)
