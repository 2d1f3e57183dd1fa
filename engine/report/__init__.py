"""The report of a run, or of several compared: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gapcast.engine.errors import RunError
from gapcast.engine.report.drawings import draw
from gapcast.engine.report.page import page
from gapcast.engine.report.scores import open_run, positions_of, sections
from gapcast.engine.storage import replace

NAME = "report.html"


def report(folders: Sequence[Path], out: Path | None = None, positions: Path | None = None) -> Path:
    """Write the report of the runs in `folders`; returns its path.

    out: the file; by default ``report.html`` in the first run's folder.
    positions: a text of lines ``sensor x y`` for the map; by default the one the config names.
    Raises RunError for a folder without the scores of a run, or a file that cannot be written.
    """
    runs = [open_run(folder) for folder in folders]
    found = sections(runs)
    drawings = draw(runs, found)
    text = page(runs, found, drawings, positions_of(runs, positions))
    path = out or folders[0] / NAME
    try:
        replace(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from None
    return path
