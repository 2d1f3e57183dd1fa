"""File formats, one module each. A name leads to its class only when a file needs it."""

from __future__ import annotations

import re
from importlib import import_module

from gapcast.engine.spelling import meant
from gapcast.plugins.sources.formats.format import Format

FORMATS = {
    "csv": "gapcast.plugins.sources.formats.csv:Csv",
    "influx-csv": "gapcast.plugins.sources.formats.influx_csv:InfluxCsv",
    "influx-line": "gapcast.plugins.sources.formats.influx_line:InfluxLine",
    "intel-lab": "gapcast.plugins.sources.formats.intel_lab:IntelLab",
    "intel-lab-conv": "gapcast.plugins.sources.formats.intel_lab_conv:IntelLabConv",
    "parquet": "gapcast.plugins.sources.formats.parquet:Parquet",
    "toa5": "gapcast.plugins.sources.formats.toa5:Toa5",
}

_ENDINGS = {
    r"\.(csv|tsv)": "csv",
    r"\.(parquet|pq)": "parquet",
    r"\.lp": "influx-line",
    r"\.conv\.txt": "intel-lab-conv",
    r"(^|/)intel-lab[^/]*\.txt": "intel-lab",
}


def load(name: str) -> type[Format]:
    """The format of that name, or the class at ``my.module:MyFormat``.

    Raises ValueError, saying what is wrong with the name.
    """
    module, colon, attribute = FORMATS.get(name, name).partition(":")
    if not colon:
        known = ", ".join(FORMATS)
        raise ValueError(f"unknown format {name!r}{meant(name, FORMATS)} (known: {known})")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"format {name!r} cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Format)):
        raise ValueError(f"format {name!r} does not extend {Format.__module__}.Format")
    return found


def guess(path: str) -> str | None:
    """The name of the format that a file's name gives away, if it does."""
    plain = re.sub(r"\.(gz|zst|zstd|bz2)$", "", path)
    return next((name for end, name in _ENDINGS.items() if re.search(end + "$", plain)), None)
