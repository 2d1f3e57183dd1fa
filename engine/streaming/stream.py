"""``gapcast.Stream``: push readings, and get the rows that a run would deliver."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.checkpoint.contents import Contents
from gapcast.engine.checkpoint.format import Snapshot, packed, unpacked
from gapcast.engine.config import RunConfig, read_config, redact
from gapcast.engine.errors import DataError
from gapcast.engine.grid.counts import Counts
from gapcast.engine.grid.frames import Joined
from gapcast.engine.output.rows import Rows
from gapcast.engine.output.unused import Kind, Unused
from gapcast.engine.parallel.workers import Work
from gapcast.engine.readings import READINGS
from gapcast.engine.run.job import Job
from gapcast.engine.run.prepare import prepare
from gapcast.engine.shard.results import StepResult
from gapcast.engine.sink import FORECASTS
from gapcast.engine.streaming import tables
from gapcast.engine.streaming.pushed import PARTITION, TYPE

_NOT = ("source", "sinks", "checkpoint", "delivery", "backtest", "backend")
"""Sections of a config that say what is around a stream: it has none of them."""

NOTHING = FORECASTS.empty_table()
FOREIGN, LEFT_OUT, KNOWN = range(3)
"""What a stream does with the readings of a series: an error, nothing, or take them."""


class Stream:
    """The engine of a run without a source and sinks, for an event loop, a notebook or another
    system of streams. Its rows have the very numbers of ``gapcast run`` with the same config and
    the same readings in one partition, however they are cut into pushes.

    interval: of a step, such as ``10s``. lateness: how long readings are waited for after a step.
    models: as in a config, by name; default: ``auto``. quantities: to forecast; default: all.
    sections: any others of a config but source, sinks, checkpoint, delivery and backend, such as
    ``grid={"aggregate": "last"}``, ``limits``, ``screen``, ``inputs``, ``evaluation``.

    Series may be named: all pairs of `sensors` and `quantities`, or the pairs ``(sensor,
    quantity)`` of `series`. A reading of any other one is a DataError then, and nothing of that
    push is taken. Else they are those of the first push, and others join with their first reading,
    as in a run. A reading of a quantity that is neither forecast nor read by a model is left
    out. What is late,
    doubled or not believed is counted (`counts`) and told (`unused`).

    A stream is for one thread at a time, and works in the one that calls it. Raises ConfigError
    where the config is wrong, DataError where it is given one of those sections.
    """

    def __init__(
        self,
        *,
        interval: str,
        lateness: str = "0s",
        sensors: Sequence[str] | str | None = None,
        quantities: Sequence[str] | str | None = None,
        series: Sequence[tuple[str, str]] | None = None,
        models: Mapping[str, Any] | None = None,
        **sections: Any,
    ) -> None:
        if foreign := sorted({*sections} & {*_NOT}):
            raise DataError(f"a stream has no {foreign[0]}: readings are pushed, rows returned")
        config: dict[str, Any] = {"name": "stream", **sections}
        own = {"interval": interval, "lateness": lateness}
        config["grid"] = _with(own, sections.get("grid"))
        if models is not None:
            config["models"] = models
        if quantities is not None:
            config["targets"] = _with({"quantities": _several(quantities)}, sections.get("targets"))
        self._set_up(config, series, None if sensors is None else _several(sensors))

    @classmethod
    def from_config(
        cls, config: RunConfig, series: Sequence[tuple[str, str]] | None = None
    ) -> Self:
        """The stream of a run's config, but for its source, sinks, checkpoints and backend.

        series: there are; without them those of the first push. ``network`` counts as in a run.
        """
        made = cls.__new__(cls)
        made._set_up(redact(config), series)
        return made

    @classmethod
    def from_state(cls, data: bytes | bytearray | memoryview) -> Self:
        """A stream that goes on where the one stood whose `state` this is, to the same numbers.

        Secrets among its models' parameters come from the environment again. Raises
        CheckpointError where the bytes are not whole, or of another version.
        """
        snapshot = unpacked(data)
        made = cls.__new__(cls)
        about = snapshot.meta.pop("stream")
        made._set_up(about["config"], None, about["sensors"])
        made._closed, made._named = about["closed"], about["named"]
        made._container = about.get("container", tables.ARROW)
        if about["series"] is not None:
            made._begin(about["series"], snapshot)
        return made

    def _set_up(
        self,
        config: Mapping[str, Any],
        series: Sequence[tuple[str, str]] | None,
        sensors: Sequence[str] | None = None,
    ) -> None:
        targets = config.get("targets")
        named: Sequence[str] = ()
        if isinstance(targets, Mapping):
            named = targets.get("quantities", ())
        self._quantity = named[0] if len(named) == 1 else None
        self._sensors = None if sensors is None else [*map(str, sensors)]
        self._config: Mapping[str, Any] = config
        self._closed, self._named = False, series is not None or sensors is not None
        read = read_config(self._whole([("", named[0] if named else "value")]))
        self._config = {k: v for k, v in redact(read).items() if k not in _NOT and v is not None}
        if not named:
            del self._config["targets"]
        self._job: Job | None = None
        self._series: list[tuple[str, str]] | None = None
        self._container = tables.ARROW
        if series is None and sensors is not None and named:
            series = [(s, q) for s in sensors for q in named]
        if series is not None:
            self._begin(_pairs(series))

    def _whole(self, series: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The config of a run over these series."""
        quantities = list(dict.fromkeys(q for _, q in series))
        targets = _with({"quantities": quantities}, self._config.get("targets"))
        source = {"type": TYPE, "series": [*map(list, series)], "joining": not self._named}
        own = {key: value for key, value in self._config.items() if key not in _NOT}
        own = {key: value for key, value in own.items() if value is not None}
        return own | {"source": source, "targets": targets}

    def _begin(self, series: Sequence[tuple[str, str]], then: Snapshot | None = None) -> None:
        """Settle the series, and make all stages, as they stood `then`."""
        generation = then.meta["job"]["generation"] if then else None
        chosen = None if then is None else (0, then)
        config = read_config(self._whole(series))
        job = prepare(config, Path(), generation, choose=lambda _: chosen)
        resume = job.resume
        self._series = [(s, q) for s, q in series]
        self._job = job
        self._known = {*job.network.series}
        self._open = bool(job.network.joining) and not self._named
        self._used = {s.quantity for s in job.network.series}
        if self._open:
            self._used |= job.network.joining
        if len(config.targets.quantities) == 1:
            (self._quantity,) = config.targets.quantities
        self._grid = job.gridded([PARTITION])
        self._withheld, self._silence = job.withheld(), job.silence()
        self._work_with(job.work())
        self._looked_up = (pa.array([""]), pa.array([""]))
        self._unused = Unused(resume.unused if resume else ())
        self._next = int((resume.positions[0] or {}).get("offset", 0)) if resume else 0
        self._delivered = resume.rows if resume else 0

    @property
    def counts(self) -> Counts:
        """What became of the readings so far; those of steps that are open are not in it."""
        return self._grid.settled() if self._job else Counts()

    @property
    def unused(self) -> list[Kind]:
        """Why readings were not used, how many, and the first of each kind."""
        return self._unused.kinds if self._job else []

    def push(self, readings: Any) -> Any:
        """Take readings, in order of arrival; the rows that they bring.

        readings: a table of Arrow, pandas or polars (others that Narwhals knows may do), or a list
        of mappings, with ``time`` (without a zone: UTC), ``sensor``, ``quantity`` and ``value``
        (null or NaN: missing); without ``quantity`` where the stream has one only. Comes back as
        the same kind with the columns of forecasts (docs/design.md): first the rows ahead of time,
        as soon as they are made, then those of the steps that closed. Raises DataError; nothing of
        the push is taken then.
        """
        if self._closed:
            raise DataError("the stream is closed: begin another, or go on from an earlier state")
        batch, container = tables.readings(readings, self._quantity)
        batch = self._checked(batch)
        self._container = container
        if self._job is None:
            return self._back(NOTHING)
        offsets = np.arange(self._next, self._next + len(batch))
        self._next += len(batch)
        whole = pa.record_batch([*batch.columns, pa.array(offsets)], schema=READINGS)
        self._unused.add(self._grid.add(0, whole, time.time_ns() // 1000))
        return self._back(self._closing())

    def flush(self) -> Any:
        """Close the steps that are open, as at the end of a run; their rows, in the container of
        the last push. Later readings of these steps are late."""
        if self._job is None:
            return self._back(NOTHING)
        self._unused.add(self._grid.end(0, time.time_ns() // 1000))
        rows = self._closing()
        self._grid.watermarks.reopen(0)
        return self._back(rows)

    def close(self) -> Any:
        """`flush`, and take nothing more. Closing again gives no rows."""
        if self._closed:
            return self._back(NOTHING)
        rows = self.flush()
        self._closed = True
        return rows

    def state(self) -> bytes:
        """All that the stream goes on from: config, series, learnt states, open steps. In the
        encoding of checkpoints, with checksums; the same size as one (docs/design.md §11)."""
        about = {
            "config": self._config, "series": self._series, "sensors": self._sensors,
            "closed": self._closed, "named": self._named, "container": self._container,
        }  # fmt: skip
        if self._job is None:
            return packed(Snapshot({"stream": about}, {}))
        snapshot = Contents(
            job=self._job.description(),
            positions=[{"offset": self._next}],
            grid=self._grid.snapshot(),
            shards=self._shard.snapshot(),
            withheld=self._withheld.snapshot(),
            epoch=0,
            rows=self._delivered,
            scores={},
            dead_letters=0,
            unused=self._unused.snapshot(),
            silence=self._silence.snapshot(),
            **self._job.network_held(),
        ).snapshot()
        return packed(Snapshot(snapshot.meta | {"stream": about}, snapshot.arrays))

    def _back(self, rows: pa.Table) -> Any:
        """Rows in the container of the last push."""
        return tables.made(self._container, rows)

    def _closing(self) -> pa.Table:
        """The rows of the steps that are closed by now."""
        tables, results = [NOTHING], list[StepResult]()
        for closed in self._grid.closed():
            if isinstance(closed, Joined):
                tables.append(self._told(results))
                self._take_in(closed)
                results = []
                continue
            for letters in closed.dead_letters:
                self._unused.add(letters)
            self._withheld.add(closed.frame)
            self._silence.add(closed.frame)
            results.append(self._shard.step(closed.frame))
        rows = pa.concat_tables([*tables, self._told(results)])
        self._delivered += len(rows)
        return rows

    def _told(self, results: Sequence[StepResult]) -> pa.Table:
        """The rows of steps in which nobody joined."""
        if not results:
            return NOTHING
        return self._rows.table(StepResult.joined(results, np.concatenate))

    def _take_in(self, joined: Joined) -> None:
        """Go on with further series."""
        job = self._job
        assert job is not None
        self._work_with(job.take_in(joined, self._shard.snapshot(), self._withheld))

    def _work_with(self, work: Work) -> None:
        """Step the one shard of `work`, and make its rows."""
        assert self._job is not None
        (self._shard,) = work.begin(work.shares(1))
        self._rows = Rows(self._job.targets, self._job.models, self._job.grid, self._silence)

    def _checked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The readings of series that the stream has. Raises DataError where it has not."""
        names = batch["sensor"].dictionary, batch["quantity"].dictionary
        at = batch["sensor"].indices.to_numpy(), batch["quantity"].indices.to_numpy()
        if self._job is None and len(batch):
            sensors, quantities = (of.to_pylist() for of in names)
            pairs = zip(at[0].tolist(), at[1].tolist(), strict=True)
            self._learn({(sensors[s], quantities[q]) for s, q in pairs})
        if self._job is None:
            return batch
        if not all(map(pa.Array.equals, self._looked_up, names)):
            self._looked_up, self._fit = names, self._fits(*(of.to_pylist() for of in names))
        fit = self._fit[at]
        if (fit == FOREIGN).any():
            row = int(np.flatnonzero(fit == FOREIGN)[0])
            sensor, quantity = (batch[name][row].as_py() for name in ("sensor", "quantity"))
            raise _foreign(sensor, quantity, f"{len(self._known):,} series")
        return batch if (fit == KNOWN).all() else batch.filter(pa.array(fit == KNOWN))

    def _fits(self, sensors: list[str], quantities: list[str]) -> NDArray[np.uint8]:
        """(sensors, quantities) what the stream does with readings of each pair."""
        found = np.full((len(sensors), len(quantities)), FOREIGN, np.uint8)
        for q, quantity in enumerate(quantities):
            for s, sensor in enumerate(sensors):
                if quantity not in self._used:
                    found[s, q] = LEFT_OUT
                elif (sensor, quantity) in self._known or self._open:
                    found[s, q] = KNOWN
        return found

    def _learn(self, pairs: Set[tuple[str, str]]) -> None:
        """Begin with the series of the first push. Raises DataError where one is of no sensor that
        was named."""
        if self._sensors is not None:
            for sensor, quantity in sorted(pairs):
                if sensor not in self._sensors:
                    raise _foreign(sensor, quantity, f"{len(self._sensors):,} sensors")
            quantities = sorted({q for _, q in pairs})
            self._begin([(s, q) for s in self._sensors for q in quantities])
        else:
            wanted = self._config.get("targets", {}).get("quantities")
            there = wanted is None or any(q in wanted for _, q in pairs)
            self._begin(sorted(pairs) if there else [])


def _foreign(sensor: str, quantity: str, named: str) -> DataError:
    return DataError(
        f"{sensor}/{quantity} is not among the {named} that were named at the beginning of the "
        "stream; leave series and sensors out to have others join"
    )


def _several(names: Sequence[str] | str) -> list[str]:
    """Names, of which one alone may be given."""
    return [names] if isinstance(names, str) else list(names)


def _with(own: dict[str, Any], section: Any) -> Any:
    """A section with the keys of `own` that it does not have; what is no section as it is."""
    if section is None:
        return own
    return {**own, **section} if isinstance(section, Mapping) else section


def _pairs(series: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The series that are named. Raises DataError where one is no pair."""
    for of in series:
        if isinstance(of, str) or len(of) != 2:
            raise DataError(f"series: expected pairs (sensor, quantity), found {of!r}")
    return [(str(sensor), str(quantity)) for sensor, quantity in series]
