"""The contract of a sink: epochs of forecasts in, one of four outcomes back."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.plugin import Plugin
from gapcast.engine.progress import Progress
from gapcast.engine.readings import NAME, TIME

FORECASTS = pa.schema(
    [
        pa.field("time", TIME, nullable=False),
        pa.field("sensor", NAME, nullable=False),
        pa.field("quantity", NAME, nullable=False),
        pa.field("model", NAME, nullable=False),
        pa.field("horizon", pa.int32(), nullable=False),
        pa.field("forecast", pa.float64(), nullable=False),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("truth", pa.float64()),
        pa.field("status", NAME, nullable=False),
        pa.field("gap_age", pa.int32(), nullable=False),
        pa.field("regressors", pa.int32()),
        pa.field("experts", NAME),
        pa.field("flag", NAME),
        pa.field("made", TIME, nullable=False),
    ]
)
"""What every sink receives. Key: (time, sensor, quantity, model, horizon). A forecast whose
horizon is above 0 comes in two stages of one key: *ahead*, with the status `ahead` and no truth,
when it is made, and *final*, the same forecast with its truth, when its own step closes. All others
are final at once. One row for each key and stage, ever; within an epoch all rows ahead come first.

`status` is one of `STATUSES`. `gap_age`: steps from the last truth of the target's own that was
visible to the model, or from where the run began, to the row's time; 1 where there is no gap, the
horizon where a row ahead has none. `regressors`: from how many values of other series the forecast
was made; `experts`: which of a blend's had a say, parted by spaces; null where the model does not
say. `flag`: one of `FLAGS` where screening suspects the truth, whatever the status; null elsewhere.
`made`: the step at whose close the forecast was made: `time` minus the horizon, in steps. Values in
the units of the readings, times are starts of steps."""

KEY = ("time", "sensor", "quantity", "model", "horizon")
"""Columns of `FORECASTS` that tell forecasts apart."""
AHEAD = "ahead"
"""Status of rows of the stage ahead; all others are final."""
STATUSES = ("observed", "missing", "withheld", "rejected", AHEAD)
FLAGS = ("outlier", "stuck", "drift")


class Receives(enum.StrEnum):
    """What a sink is for."""

    FORECASTS = "forecasts"
    DEAD_LETTERS = "dead letters"
    READINGS = "readings"


class Delivery(enum.StrEnum):
    """What a sink can promise about a row after crashes, from weakest to strongest."""

    AT_LEAST_ONCE = "at-least-once"
    IDEMPOTENT = "idempotent"
    TRANSACTIONAL = "transactional"

    def at_least(self, required: Delivery) -> bool:
        """Whether this promises what is required, or more."""
        strength = list(Delivery)
        return strength.index(self) >= strength.index(required)


@dataclass(frozen=True)
class Stages:
    """Which rows a sink takes.

    Of forecasts with a horizon above 0, ahead: when they are made; final: when their own step has
    closed, with the truth; all others are final. shadow: those of shadow models, too.
    """

    ahead: bool = True
    final: bool = True
    shadow: bool = False

    def of(self, forecasts: pa.Table, shadows: Sequence[str] = ()) -> pa.Table:
        """The rows that are taken of a table of schema `FORECASTS`. shadows: models that are."""
        if shadows and not self.shadow:
            models = forecasts["model"].cast(pa.string())
            forecasts = forecasts.filter(pc.invert(pc.is_in(models, pa.array(shadows))))
        if self.ahead and self.final:
            return forecasts
        early = is_ahead(forecasts)
        return forecasts.filter(pa.array(early if self.ahead else ~early))


BOTH = Stages()


def is_ahead(forecasts: pa.Table) -> NDArray[np.bool_]:
    """(rows,) which rows are of the stage ahead."""
    found: NDArray[np.bool_] = pc.equal(forecasts["status"].cast(pa.string()), AHEAD).to_numpy()
    return found


def superseded(forecasts: pa.Table) -> NDArray[np.bool_]:
    """(rows,) which rows ahead have their final row in the same table: a sink that holds one row
    a key may leave them out."""
    found = is_ahead(forecasts)
    if not found.any() or found.all():
        return np.zeros(len(found), bool)
    code = np.zeros(len(found), np.int64)
    for name in KEY:
        column = forecasts[name].unify_dictionaries().combine_chunks()
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        plain = not pa.types.is_dictionary(column.type)
        values = (column.dictionary_encode() if plain else column).indices.to_numpy()
        code = np.unique(code * (int(values.max()) + 1) + values, return_inverse=True)[1]
    found[found] = np.isin(code[found], code[~found])
    return found


@dataclass(frozen=True)
class Committed:
    """Rows and epoch are durable together."""


@dataclass(frozen=True)
class AlreadyCommitted:
    """This epoch was durable before; nothing was changed."""


@dataclass(frozen=True)
class Retry:
    """Not now: call again with the same epoch after a while; the engine reads no further.

    patience: seconds after which the run ends, should this still be the answer, for only a person
    can help; None: it is tried for as long as the run lives.
    """

    reason: str
    patience: float | None = None


@dataclass(frozen=True)
class Rejected:
    """These rows never (indices into the table), each for the reason beside it.

    Nothing of the epoch is durable yet. The engine stores the rows as dead letters, durably,
    then writes the epoch again without them; after a crash it offers them once more.
    """

    rows: list[int]
    reasons: list[str]


Outcome = Committed | AlreadyCommitted | Retry | Rejected


@dataclass(frozen=True)
class JobInfo:
    """What a sink may know of the job it serves. `interval` in microseconds."""

    name: str
    run_dir: Path
    interval: int
    models: tuple[str, ...]
    targets: int
    scored: tuple[str, ...]
    """Statuses whose errors count in this job's scores."""

    progress: Callable[[], Progress] = Progress
    """How the run was getting on about a second ago."""

    periods: Mapping[str, float] = field(default_factory=dict)
    """Of quantities that begin anew, such as directions."""


def residuals(rows: pa.Table, periods: Mapping[str, float]) -> NDArray[np.float64]:
    """truth - forecast of rows, NaN where there is none; of quantities with a period the shorter
    way round."""
    truth, forecast = (rows[name].to_numpy() for name in ("truth", "forecast"))
    with np.errstate(over="ignore", invalid="ignore"):
        found: NDArray[np.float64] = truth - forecast
        for quantity, period in periods.items():
            here = pc.equal(rows["quantity"].cast(pa.string()), quantity).to_numpy()
            found[here] = (found[here] + period / 2) % period - period / 2
    return found


class Sink(Plugin):
    """Receives the forecasts of a job, epoch by epoch.

    The engine promises: the same epoch carries the same rows in the same order; epochs grow;
    none starts before the outcome of the one before; an epoch may come again after a crash.
    `generation` is fresh for every new run, so that epochs of another run are never taken for
    this one's. All calls come from one thread.

    You promise: on `Committed`, rows and epoch are durable together; a repeated epoch changes
    nothing and answers `AlreadyCommitted` (or rewrites the same rows under the same keys, if
    `delivery` is IDEMPOTENT). Raising anything stops the run; the epoch counts as not committed.
    `close` may never be called.
    """

    delivery: ClassVar[Delivery] = Delivery.AT_LEAST_ONCE
    """What you promise. A config may require a level (`sinks.<name>.require`): a sink that promises
    less stops the run before it starts."""

    stages: Stages = BOTH
    """Which stages of forecasts it is given, both unless the class says otherwise: what
    `sinks.<name>.deliver` says stands in its place on the object, before `open`."""

    receives: ClassVar[Receives] = Receives.FORECASTS
    """FORECASTS of a run, in epochs.

    DEAD_LETTERS: those of a run, schema `DEAD_LETTERS`, as they are written to its folder: the
    number of that file stands for the epoch. Each is delivered before the checkpoint that covers
    it, at least once: after a crash it comes again, perhaps cut in another way under other numbers.
    Calls come one at a time, from any thread. What you reject stays in the run's folder.

    READINGS: what `gapcast produce` reads, schema `READINGS`, numbered from 0.
    """

    def init(self) -> list[str]:
        """Make what must be there before a first run, such as tables; ``gapcast sink init`` calls
        it, a run never does. The sink is not open. Made twice is as made once: what is there stays
        as it is. A line for each thing, made or found. Default: nothing is needed."""
        return []

    @abstractmethod
    def open(self, job: JobInfo, generation: str) -> None:
        """Get ready, and undo what a crash left half-done in this generation."""

    @abstractmethod
    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Store one epoch, schema `FORECASTS` (or as `receives` says). Where a key is stored once,
        its final row takes the place of the one ahead (see `superseded`)."""

    def close(self) -> None:
        """Let go of files and connections. Default: nothing to let go of."""


class Reach(enum.IntEnum):
    """From how far away the parameters of a sink name the same place."""

    PROCESS = 0
    MACHINE = 1
    ANYWHERE = 2


Committable = Any
"""What a part says of rows that are durable and not to be seen yet: a JSON value."""


@dataclass(frozen=True)
class Part:
    """A shard whose rows a writer stores: its number, and what `Sink.open` was told of the job."""

    number: int
    job: JobInfo
    generation: str


class SinkPart(ABC):
    """Stores one shard's rows of every epoch, beside the shard. Calls come one at a time."""

    @abstractmethod
    def write(self, epoch: int, rows: pa.Table) -> None:
        """Take rows of the epoch in progress, schema `FORECASTS`: hold or store them."""

    @abstractmethod
    def prepare(self, epoch: int) -> Committable | Retry:
        """Make all rows taken of the epoch durable, without anyone seeing them.

        After `Retry` it is called again. The next epoch may come although this one has never been
        committed: the run then is about to end. Raising anything stops the run.
        """


class ParallelSink(Sink):
    """A sink in two halves: writers beside the shards, and a commit at the coordinator.

    An epoch is prepared by every part that has rows of it, its end is noted in the epoch log,
    then it is committed. A crash before the note makes other epochs of the same steps; one after
    it has the same epoch prepared again, by perhaps other shards, and committed again. What was
    prepared and never committed is removed by `open`. Where shards cannot write, `write` is called
    with all rows.
    """

    @property
    @abstractmethod
    def reach(self) -> Reach:
        """Where else the same parameters name the same place: shards there write their own rows.
        Elsewhere this object is made again from its parameters as JSON: a secret would be lost."""

    @abstractmethod
    def writer(self, part: Part) -> SinkPart:
        """The writer of a shard. This object is not open: it may be in another process."""

    @abstractmethod
    def commit(self, epoch: int, committables: Sequence[Committable]) -> Outcome:
        """Make what the parts have prepared of an epoch durable and seen, as one; in the order of
        parts. An epoch that was committed before answers `AlreadyCommitted`, and what was prepared
        of it anew is dropped. Nothing can be rejected here."""
