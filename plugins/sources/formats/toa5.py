"""``toa5``: tables of Campbell Scientific data loggers.

Four lines stand before the first record: the station and its program, the names of the columns,
their units, and how each was made of samples. Documented in the loggers' manuals as "TOA5".
"""

from __future__ import annotations

import csv
from collections.abc import Mapping

from pydantic import Field

from gapcast.plugins.sources.formats.csv import Csv, CsvOptions

_STATION = 1


class Toa5Options(CsvOptions):
    """Keys of the format ``toa5``."""

    time: str | list[str] = Field(default="TIMESTAMP", description="Column of the time.")
    skip: int = Field(default=1, ge=0, description="Lines before the header.")
    skip_after: int = Field(default=2, ge=0, description="Lines after it.")


class Toa5(Csv):
    """Records of a table, of the sensor that is named as the station is."""

    Options = Toa5Options

    def said(self, head: list[bytes]) -> Mapping[str, str]:
        """See `Csv.said`: the station, where the path says no sensor."""
        first = next(csv.reader([head[0].decode(errors="replace")]), [])
        station = {"sensor": first[_STATION]} if len(first) > _STATION and first[_STATION] else {}
        return station | dict(self.file.said)
