"""The tables of the PostgreSQL sinks: how they are made, filled and locked, as SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from gapcast.engine.units import expecting
from gapcast.plugins.sinks.postgres_copy import type_of

STAGING = "pg_temp.gapcast_epoch"
"""Where the rows of an epoch lie before they are merged; gone with the transaction."""
_NAME = re.compile(r"([A-Za-z_]\w{0,49}\.)?[A-Za-z_]\w{0,49}", re.ASCII)


def check(name: str) -> str:
    """`name` if it names a table here; raises ValueError if not."""
    if not _NAME.fullmatch(name):
        raise expecting(
            "a table's name, `table` or `schema.table`, each of up to 50 letters, digits and _"
        )
    return name


def quoted(name: str) -> str:
    """A checked name as SQL has it, so that its capital letters stay."""
    return ".".join(f'"{part}"' for part in name.split("."))


@dataclass(frozen=True)
class Table:
    """A table for rows of an Arrow schema; of each key it holds one row, if it has a key."""

    name: str
    schema: pa.Schema
    key: Sequence[str] = ()

    def create(self) -> str:
        """Make it, unless it is there."""
        key = f", PRIMARY KEY ({_list(self.key)})" if self.key else ""
        return f"CREATE TABLE IF NOT EXISTS {quoted(self.name)} ({self._columns()}{key})"

    def copy(self, into: str = "") -> str:
        """Begin a COPY in the binary format, into the table itself unless it says otherwise."""
        into = into or quoted(self.name)
        return f"COPY {into} ({_list(self.schema.names)}) FROM STDIN (FORMAT binary)"

    def staging(self) -> str:
        """Make `STAGING`, for the length of a transaction."""
        return f"CREATE TEMPORARY TABLE {STAGING[8:]} ({self._columns()}) ON COMMIT DROP"

    def merge(self) -> str:
        """Rows of `STAGING` into the table, over those of the same key."""
        names = _list(self.schema.names)
        others = [name for name in self.schema.names if name not in self.key]
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
        return (
            f"INSERT INTO {quoted(self.name)} ({names}) SELECT {names} FROM {STAGING} "
            f"ON CONFLICT ({_list(self.key)}) DO UPDATE SET {changes}"
        )

    def _columns(self) -> str:
        return ", ".join(
            f'"{f.name}" {type_of(f.type)}{"" if f.nullable else " NOT NULL"}' for f in self.schema
        )


@dataclass(frozen=True)
class Runs:
    """The table that says of each job which run of it writes, and how far it is.

    writer: whoever opened the sink last. All of the job's transactions begin with a lock on its
    row, so that none of an older process can end after that of a newer one.
    """

    name: str

    def create(self) -> str:
        """Make it, unless it is there."""
        return (
            f"CREATE TABLE IF NOT EXISTS {quoted(self.name)} (job text PRIMARY KEY, "
            "generation text NOT NULL, epoch bigint, writer text NOT NULL, "
            "since timestamptz NOT NULL DEFAULT now())"
        )

    def claim(self) -> str:
        """Make a process the one that writes. Takes job, generation and writer; another
        generation begins without epochs."""
        return (
            f"INSERT INTO {quoted(self.name)} AS known (job, generation, writer) "
            "VALUES (%s, %s, %s) ON CONFLICT (job) DO UPDATE SET writer = excluded.writer, "
            "since = now(), generation = excluded.generation, epoch = "
            "CASE WHEN known.generation = excluded.generation THEN known.epoch END"
        )

    def lock(self) -> str:
        """Lock the row of a job: its writer, since when, the run and its last epoch or null."""
        return (
            f"SELECT writer, since, generation, epoch FROM {quoted(self.name)} "
            "WHERE job = %s FOR UPDATE"
        )

    def advance(self) -> str:
        """Note an epoch. Takes epoch and job."""
        return f"UPDATE {quoted(self.name)} SET epoch = %s WHERE job = %s"


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
