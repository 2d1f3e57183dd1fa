"""The figures of a run as Prometheus reads them, made when it asks."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from gapcast.engine._version import VERSION
from gapcast.engine.extras import extra
from gapcast.engine.serve.live import Live
from gapcast.engine.serve.states import STATES

with extra("serve"):
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

READINGS = ("used", "late", "duplicate", "rejected", "invalid")


class Metrics(Collector):
    """Names and labels are public. No label has more values than a config has models, horizons and
    quantities, but where `serve.sensors` is on: then some figures are there for each target."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self, accept: str) -> tuple[bytes, str]:
        """What to answer, and its type, to whoever takes `accept`."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def describe(self) -> list[Metric]:
        """Nothing is computed before someone asks."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All figures, as they are now."""
        yield _gauge("up", "1 while the run goes.", 1)
        info = _gauge("build_info", "1; the version is a label.", labels=["version", "run"])
        info.add_metric([VERSION, self.live.name], 1)
        yield info
        yield _counter("warnings", "Warnings and errors in the log.", self.live.notices.count)
        yield from self._progress()
        yield from self._rows()
        yield from self._scores()
        yield from self._sensors()

    def _progress(self) -> Iterator[Metric]:
        at = self.live.progress
        yield _counter("readings_read", "Readings read from the source.", at.readings)
        settled = _counter(
            "readings", "Readings of closed steps, by what became of them.", labels=["result"]
        )
        for result in READINGS:
            settled.add_metric([result], getattr(at, result))
        yield settled
        yield _gauge("readings_per_second", "Readings read in the last second.", at.rate)
        yield _counter("steps_closed", "Steps of the grid that were closed.", at.steps)
        yield _counter("epochs", "Epochs that all sinks have taken.", at.epochs)
        yield _counter("forecasts", "Final rows that all sinks have taken.", at.forecasts)
        yield _gauge("workers", "Workers that are alive.", at.alive)
        yield _gauge("workers_wanted", "Workers that there should be.", at.workers)
        yield _gauge("shards", "Shards of the targets.", at.shards)
        if at.watermark is not None:
            mark = at.watermark / 1e6
            yield _gauge("watermark_timestamp_seconds", "Event time that all reached.", mark)
            lag = max(0.0, time.time() - mark)
            yield _gauge("lag_seconds", "How far the watermark is behind the clock.", lag)
        if at.moment:
            age = max(0.0, time.time() - at.moment)
            yield _gauge("report_age_seconds", "Since the run last said how it is.", age)
        if at.checkpoint is not None:
            whole, took = at.checkpoint
            age = max(0.0, time.time() - whole)
            yield _gauge("checkpoint_age_seconds", "Since the newest checkpoint was whole.", age)
            yield _gauge("checkpoint_duration_seconds", "What the newest checkpoint took.", took)

    def _rows(self) -> Iterator[Metric]:
        rows = _counter("rows", "Rows that sinks have taken.", labels=["model", "stage"])
        for labels, n in (self.live.tap.rows() if self.live.tap else {}).items():
            rows.add_metric([*labels], n)
        yield rows

    def _scores(self) -> Iterator[Metric]:
        labels = ["model", "horizon", "quantity"]
        scored = _counter("scored", "Forecasts that were scored.", labels=labels)
        bounded = _counter("scored_intervals", "Scored forecasts with an interval.", labels=labels)
        covered = _counter("covered", "Truths within their intervals.", labels=labels)
        squared = _counter("squared_error", "Sum of the squared errors.", labels=labels)
        mse = _gauge("mse", "Mean squared error since the start.", labels=labels)
        coverage = _gauge("coverage_ratio", "Share of truths within intervals.", labels=labels)
        level = _gauge("nominal_coverage_ratio", "What coverage should be.", labels=labels)
        for score in self.live.tap.scores() if self.live.tap else ():
            of = [score.entry.model, str(score.entry.horizon), score.quantity]
            scored.add_metric(of, score.scored)
            bounded.add_metric(of, score.bounded)
            covered.add_metric(of, score.covered)
            squared.add_metric(of, score.squared)
            level.add_metric(of, score.entry.level)
            if score.mse is not None:
                mse.add_metric(of, score.mse)
            if score.coverage is not None:
                coverage.add_metric(of, score.coverage)
        yield from (scored, bounded, covered, squared, mse, coverage, level)

    def _sensors(self) -> Iterator[Metric]:
        tap = self.live.tap
        if tap is None:
            return
        found = tap.states()
        states = _gauge("sensors", "Targets by state.", labels=["state"])
        for state, n in found.counts().items():
            states.add_metric([state], n)
        yield states
        if not self.live.section.sensors or tap.last is None:
            return
        labels = ["sensor", "quantity"]
        missing = _gauge("sensor_missing_seconds", "Since a value last came.", labels=labels)
        states = _gauge(
            "sensor_state", f"{', '.join(f'{i}: {s}' for i, s in enumerate(STATES))}.",
            labels=labels,
        )  # fmt: skip
        gone = (tap.last - found.arrived) * (tap.grid.interval / 1e6)
        gone = np.where(np.abs(found.arrived) < 1 << 40, gone, np.inf)
        for target, seconds, code in zip(
            tap.entries.targets, gone.tolist(), found.state.tolist(), strict=True
        ):
            missing.add_metric([*target], seconds)
            states.add_metric([*target], code)
        yield from (missing, states)


def _gauge(
    name: str, about: str, value: float | None = None, labels: list[str] | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"gapcast_{name}", about, value, labels)


def _counter(
    name: str, about: str, value: float | None = None, labels: list[str] | None = None
) -> CounterMetricFamily:
    return CounterMetricFamily(f"gapcast_{name}", about, value, labels)
