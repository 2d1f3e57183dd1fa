"""Writes the dashboard of what Prometheus has of a run: python docker/serve/grafana/live.py"""

from __future__ import annotations

import json
from pathlib import Path

from make import Json, dashboard, panel

SOURCE = {"type": "prometheus", "uid": "prometheus"}


def figure(
    title: str, says: str, unit: str, *asked: tuple[str, str], kind: str = "timeseries"
) -> Json:
    """A panel of queries, each with the name of its lines."""
    queries = [{"expr": e, "legendFormat": name, "datasource": SOURCE} for e, name in asked]
    config = {"defaults": {"unit": unit}, "overrides": []}
    return panel(kind, title, says, queries, fieldConfig=config) | {"datasource": SOURCE}


def rate(name: str, by: str = "", labels: str = "") -> str:
    """Per second, over some minutes; summed over all labels but `by`."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate(gapcast_{name}_total{labels}[$__rate_interval]))"


def flow() -> list[list[tuple[Json, int]]]:
    """Readings in, rows out, how far behind."""
    return [
        [
            (figure("Lag", "How far event time is behind the clock.", "s",
                    ("gapcast_lag_seconds", "{{instance}}")), 12),
            (figure("Readings a second", "By what became of them.", "short",
                    (rate("readings", "result"), "{{result}}")), 12),
        ],
        [
            (figure("Rows a second", "As sinks have taken them.", "short",
                    (rate("rows", "model, stage"), "{{model}} {{stage}}")), 12),
            (figure("Sensors", "By how they do.", "short",
                    ("sum by (state) (gapcast_sensors)", "{{state}}")), 12),
        ],
    ]  # fmt: skip


def quality() -> list[list[tuple[Json, int]]]:
    """Errors and coverage of the models."""
    by, line = "model, horizon, quantity", "{{model}} +{{horizon}} {{quantity}}"
    error = f"{rate('squared_error', by)} / {rate('scored', by)}"
    share = f"{rate('covered', by)} / {rate('scored_intervals', by)}"
    return [
        [
            (figure("Mean squared error, lately", "Of what was scored in the last minutes.",
                    "short", (error, line)), 12),
            (figure("Coverage, lately", "Share of truths within their intervals; dashed: nominal.",
                    "percentunit", (share, line),
                    ("max(gapcast_nominal_coverage_ratio)", "nominal")), 12),
        ],
        [
            (figure("Mean squared error, all of the run", "Since the process began.", "short",
                    ("gapcast_mse", line), kind="bargauge"), 12),
            (figure("Coverage, all of the run", "Since the process began.", "percentunit",
                    ("gapcast_coverage_ratio", line), kind="bargauge"), 12),
        ],
    ]  # fmt: skip


def health() -> list[list[tuple[Json, int]]]:
    """Workers, checkpoints, warnings."""
    return [
        [
            (figure("Workers", "Alive, and how many there should be.", "short",
                    ("gapcast_workers", "alive"), ("gapcast_workers_wanted", "wanted")), 8),
            (figure("Newest checkpoint", "Its age, and what it took.", "s",
                    ("gapcast_checkpoint_age_seconds", "age"),
                    ("gapcast_checkpoint_duration_seconds", "took")), 8),
            (figure("Warnings", "In the log, by the hour.", "short",
                    ("increase(gapcast_warnings_total[1h])", "warnings")), 8),
        ],
    ]  # fmt: skip


def live() -> Json:
    """A run while it goes."""
    rows = [*flow(), *quality(), *health()]
    return dashboard("gapcast-live", "Live", {"from": "now-1h", "to": "now"}, [], rows)


if __name__ == "__main__":
    path = Path(__file__).parent / "dashboards" / "gapcast-live.json"
    path.write_text(json.dumps(live(), indent=2) + "\n")
