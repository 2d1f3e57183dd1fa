"""``postgres``, ``postgres-dead-letters``: rows into tables of PostgreSQL or TimescaleDB.

They use psycopg 3. Its licence is the LGPL: it is installed apart, imported, and no part of it is
in gapcast.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field

from gapcast.engine.errors import SinkError
from gapcast.engine.readings import DEAD_LETTERS
from gapcast.engine.sink import (
    FORECASTS,
    KEY,
    AlreadyCommitted,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    Receives,
    Rejected,
    Retry,
    Sink,
    superseded,
)
from gapcast.plugins.sinks.postgres_copy import binary
from gapcast.plugins.sinks.postgres_server import Server, Transactions
from gapcast.plugins.sinks.postgres_tables import STAGING, Runs, Table, check, quoted


class PostgresSink(Sink):
    """Forecasts as rows of a table of PostgreSQL, exactly once.

    An epoch is a transaction. Its rows are copied into a temporary table, merged into the table by
    their key, a final row over the one ahead, and its number is noted in a second table,
    TABLE_runs, by the job's name. Jobs may share a table as long as no two of them forecast the
    same key.

    Whoever opens the sink for a job is from then on the only one that writes for it: a process
    before it, perhaps one that was believed to have ended, stops with its next epoch. The tables
    are made by ``gapcast sink init``, never by a run, which needs no right to make any.
    """

    class Params(Server):
        table: Annotated[str, AfterValidator(check)] = Field(
            default="forecasts", description="The table, `table` or `schema.table`."
        )

    params: Params
    delivery = Delivery.TRANSACTIONAL

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._table = Table(params.table, FORECASTS, KEY)
        self._runs = Runs(f"{params.table}_runs")
        self._transactions = Transactions(params, f"{self._table.name} and {self._runs.name}")

    def init(self) -> list[str]:
        """Make both tables, unless they are there."""
        return _made(self._transactions, self._table, self._runs)

    def open(self, job: JobInfo, generation: str) -> None:
        """Become the one that writes for this job; look at tables, key and rights."""
        self._job, self._generation, self._writer = job.name, generation, uuid4().hex
        _at_once(self._transactions, self._claim)

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Merge one epoch and note it. After a failure the next try asks first whether the epoch
        was committed after all."""
        return self._transactions.attempt(partial(self._write, epoch, forecasts))

    def close(self) -> None:
        """Let go of the connection."""
        self._transactions.close()

    def _claim(self, connection: Any) -> Outcome:
        connection.execute(self._runs.claim(), [self._job, self._generation, self._writer])
        connection.execute(self._table.staging())
        connection.execute(f"EXPLAIN {self._table.merge()}")
        return Committed()

    def _write(self, epoch: int, forecasts: pa.Table, connection: Any) -> Outcome:
        if self._lock(connection, epoch):
            return AlreadyCommitted()
        connection.execute(self._table.staging())
        merge = partial(self._merge, connection)
        there = np.flatnonzero(~superseded(forecasts))
        found = _placed(self._transactions, connection, forecasts.take(there), merge)
        if found:
            return Rejected([int(there[row]) for row in found], list(found.values()))
        connection.execute(self._runs.advance(), [epoch, self._job])
        return Committed()

    def _lock(self, connection: Any, epoch: int) -> bool:
        """Whether the run's epoch is durable. Raises SinkError if it is not and another process
        is the one to write it."""
        row = connection.execute(self._runs.lock(), [self._job]).fetchone()
        if row is None:
            raise SinkError(f"sink postgres: {self._runs.name} has lost the row of {self._job!r}")
        writer, since, generation, last = row
        if generation == self._generation and last is not None and epoch <= last:
            return True
        if writer != self._writer:
            raise SinkError(
                f"sink postgres: another process has written {self._table.name} for the job "
                f"{self._job!r} since {since:%Y-%m-%d %H:%M:%S%z}; this one stops"
            )
        return False

    def _merge(self, connection: Any, rows: pa.Table) -> None:
        _copy(connection, self._table.copy(STAGING), rows)
        connection.execute(f"{self._table.merge()}; TRUNCATE {STAGING}")


class PostgresDeadLettersSink(Sink):
    """Dead letters as rows of a table of PostgreSQL, at least once."""

    class Params(Server):
        table: Annotated[str, AfterValidator(check)] = Field(
            default="dead_letters", description="The table, `table` or `schema.table`."
        )

    params: Params
    delivery = Delivery.AT_LEAST_ONCE
    receives = Receives.DEAD_LETTERS

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._table = Table(params.table, DEAD_LETTERS)
        self._transactions = Transactions(params, params.table)

    def init(self) -> list[str]:
        """Make the table, unless it is there."""
        return _made(self._transactions, self._table)

    def open(self, job: JobInfo, generation: str) -> None:
        """See `Sink.open`; looks at the table."""
        _at_once(self._transactions, partial(self._place, DEAD_LETTERS.empty_table()))

    def write(self, epoch: int, letters: pa.Table) -> Outcome:
        """Add dead letters, in one transaction."""
        return self._transactions.attempt(partial(self._place, letters))

    def close(self) -> None:
        """Let go of the connection."""
        self._transactions.close()

    def _place(self, letters: pa.Table, connection: Any) -> Outcome:
        copy = partial(_copy, connection, self._table.copy())
        rejected = _placed(self._transactions, connection, letters, copy)
        if rejected:
            return Rejected(list(rejected), list(rejected.values()))
        return Committed()


def _placed(
    transactions: Transactions, connection: Any, rows: pa.Table, place: Any, first: int = 0
) -> dict[int, str]:
    """Place all rows that the server takes; those it rejects, each with the reason.

    They are found by halves, so that a rejected row costs some twenty statements.
    """
    reason = transactions.try_rows(connection, partial(place, rows))
    if not reason:
        return {}
    if len(rows) <= 1:
        return {first: reason}
    middle = len(rows) // 2
    return {
        **_placed(transactions, connection, rows.slice(0, middle), place, first),
        **_placed(transactions, connection, rows.slice(middle), place, first + middle),
    }


def _copy(connection: Any, statement: str, rows: pa.Table) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in binary(rows):
            copy.write(piece)


def _made(transactions: Transactions, *tables: Table | Runs) -> list[str]:
    """Make tables; what was made and what was there."""
    lines: list[str] = []

    def make(connection: Any) -> Outcome:
        for table in tables:
            find = connection.execute("SELECT to_regclass(%s)", [quoted(table.name)])
            there = find.fetchone()[0] is not None
            if not there:
                connection.execute(table.create())
            lines.append(f"table {table.name} {'was there' if there else 'made'}")
        return Committed()

    try:
        _at_once(transactions, make)
    finally:
        transactions.close()
    return lines


def _at_once(transactions: Transactions, work: Any) -> None:
    """A transaction that must succeed at the first try. Raises SinkError if it does not."""
    outcome = transactions.attempt(work)
    if isinstance(outcome, Retry):
        raise SinkError(f"sink postgres: {outcome.reason}")
