"""The `console` sink: a live table while a run goes, plain lines where there is no terminal."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gapcast.engine import plugin
from gapcast.engine.sink import (
    STATUSES,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    Sink,
    Stages,
    residuals,
)
from gapcast.engine.spelling import printable


class ConsoleSink(Sink):
    """Shows each model's running error, the latest forecasts, rates and how far behind now."""

    class Params(plugin.Params):
        latest: int = Field(default=5, ge=0, description="Latest forecasts to show.")
        every: float = Field(
            default=2.0, gt=0, description="Seconds between lines where there is no terminal."
        )

    params: Params
    delivery = Delivery.AT_LEAST_ONCE
    stages = Stages(ahead=False)

    def open(self, job: JobInfo, generation: str) -> None:
        """Start the live display on stderr, so that stdout stays free for results."""
        self.job = job
        self.console = Console(stderr=True)
        self.errors = np.zeros((len(job.models), 3))
        self._shown = time.monotonic()
        self._live: Live | None = None
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Take the epoch into the running figures and show them."""
        if len(forecasts):
            self._score(forecasts)
            if self._live:
                self._live.update(self._picture(forecasts))
            elif time.monotonic() - self._shown >= self.params.every:
                self._shown = time.monotonic()
                self.console.print(self._line(), soft_wrap=True, highlight=False, markup=False)
        return Committed()

    def close(self) -> None:
        """End the live display."""
        if self._live:
            self._live.stop()
            self._live = None

    def _score(self, forecasts: pa.Table) -> None:
        scored = pc.is_in(forecasts["status"], value_set=pa.array(self.job.scored))
        rows = forecasts.select(["quantity", "model", "forecast", "truth"]).filter(scored)
        if not len(rows):
            return
        model = pc.index_in(rows["model"], value_set=pa.array(self.job.models)).to_numpy()
        error = residuals(rows, self.job.periods)
        size = len(self.job.models)
        for column, weight in enumerate((np.ones_like(error), error**2, np.abs(error))):
            self.errors[:, column] += np.bincount(model, weight, size)

    def _line(self) -> str:
        figures = "  ".join(
            f"{name} mse {squared / n:.4g}" if n else f"{name} -"
            for name, (n, squared, _) in zip(self.job.models, self.errors, strict=True)
        )
        return printable(f"{self.job.progress()}  {figures}")

    def _picture(self, forecasts: pa.Table) -> Group:
        head = Text(f"{self.job.name}   {self.job.targets} targets", style="bold")
        return Group(head, Text(str(self.job.progress())), self._models(), self._latest(forecasts))

    def _models(self) -> Table:
        table = Table("model", box=None, pad_edge=False)
        for name in ("MSE", "MAE", "scored"):
            table.add_column(name, justify="right")
        for name, (n, squared, absolute) in zip(self.job.models, self.errors, strict=True):
            shown = (f"{squared / n:.4f}", f"{absolute / n:.4f}") if n else ("-", "-")
            table.add_row(Text(name), *shown, f"{n:,.0f}")
        return table

    def _latest(self, forecasts: pa.Table) -> Table:
        table = Table("time", "sensor", "quantity", "model", box=None, pad_edge=False)
        for name in ("forecast", "truth"):
            table.add_column(name, justify="right")
        table.add_column("status")
        styles = dict(zip(STATUSES, ("", "dim", "yellow", "red", "cyan"), strict=True))
        for row in forecasts.slice(max(0, len(forecasts) - self.params.latest)).to_pylist():
            truth = "-" if row["truth"] is None else f"{row['truth']:.2f}"
            table.add_row(
                f"{row['time']:%m-%d %H:%M}",
                *(Text(printable(row[name])) for name in ("sensor", "quantity", "model")),
                f"{row['forecast']:.2f}",
                truth,
                row["status"],
                style=styles[row["status"]],
            )
        return table
