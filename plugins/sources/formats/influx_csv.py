"""``influx-csv``: what InfluxDB 2 answers to a query, annotated CSV.

Lines that begin with ``#`` are annotations; a blank line and the header again stand between
tables. The quantity is the field. Which tag is the sensor, `sensor` says.
"""

from __future__ import annotations

from pydantic import Field

from gapcast.plugins.sources.formats.csv import Csv, CsvOptions


class InfluxCsvOptions(CsvOptions):
    """Keys of the format ``influx-csv``."""

    time: str | list[str] = Field(default="_time", description="Column of the time.")
    sensor: str = Field(default="_measurement", description="Column of the sensor: a tag.")
    quantity: str = Field(default="_field", description="Column of the quantity.")
    value: str = Field(default="_value", description="Column of the value.")
    comment: str | None = Field(default="#", description="Lines that begin with it are none.")


class InfluxCsv(Csv):
    """Records of one or several tables."""

    Options = InfluxCsvOptions
