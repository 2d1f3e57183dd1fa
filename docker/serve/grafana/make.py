"""Writes the dashboards beside: python docker/serve/grafana/make.py

Forecasts are drawn over event time (the days of the sample, until someone chooses others), a
run's own figures over the clock's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]
SOURCE = {"type": "opentsdb", "uid": "opentsdb"}
STATUS = [
    (0, "observed", "green"),
    (1, "missing", "red"),
    (2, "withheld", "orange"),
    (3, "rejected", "purple"),
]


def query(
    metric: str,
    alias: str,
    aggregator: str = "avg",
    downsample: str = "$step-avg",
    rate: bool = False,
    **tags: str,
) -> Json:
    """A query of one metric. A tag of ``*`` gives a line for each of its values."""
    interval, _, method = downsample.partition("-")
    return {
        "metric": metric,
        "alias": alias,
        "aggregator": aggregator,
        "downsampleInterval": interval,
        "downsampleAggregator": method,
        "downsampleFillPolicy": "none",
        "disableDownsampling": False,
        "shouldComputeRate": rate,
        "filters": [
            {
                "tagk": tag,
                "type": "wildcard" if "*" in value else "literal_or",
                "filter": value,
                "groupBy": True,
            }
            for tag, value in tags.items()
        ],
        "datasource": SOURCE,
    }


def panel(kind: str, title: str, says: str, queries: list[Json], **more: Any) -> Json:
    """A panel without its place."""
    for letter, target in zip("ABCDEFGH", queries, strict=False):
        target["refId"] = letter
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": SOURCE,
        "targets": queries,
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {},
        **more,
    }


def override(name: str, **properties: Any) -> Json:
    """How one line differs; ``custom_x`` stands for ``custom.x``."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": k.replace("_", ".", 1), "value": v} for k, v in properties.items()],
    }


def truth() -> Json:
    """Truth, forecast and bounds of one sensor; its gaps shaded."""
    model = {"sensor": "$sensor", "model": "$model", "horizon": "$horizon"}
    queries = [
        query("$quantity.truth", "truth", sensor="$sensor"),
        *(query(f"$quantity.{n}", n, **model) for n in ("forecast", "lower", "upper")),
        query("$quantity.status", "gap", "max", "$step-max", sensor="$sensor"),
    ]
    defaults = {"custom": {"lineWidth": 1, "showPoints": "auto", "spanNulls": False}}
    hidden = {"custom_lineWidth": 0, "custom_showPoints": "never"}
    overrides = [
        override("truth", color={"mode": "fixed", "fixedColor": "text"}, custom_lineWidth=2),
        override("forecast", color={"mode": "fixed", "fixedColor": "blue"}),
        override("lower", color={"mode": "fixed", "fixedColor": "blue"}, **hidden),
        override(
            "upper",
            color={"mode": "fixed", "fixedColor": "blue"},
            custom_fillBelowTo="lower",
            custom_fillOpacity=15,
            **hidden,
        ),
        # status is 0 where something was observed; on an axis that ends at 1 all else is a wall
        override(
            "gap",
            color={"mode": "fixed", "fixedColor": "red"},
            min=0,
            max=1,
            custom_axisPlacement="withheld",
            custom_lineInterpolation="stepAfter",
            custom_fillOpacity=12,
            **hidden,
        ),
    ]
    return panel(
        "timeseries",
        "Truth and forecast of sensor $sensor",
        "Line: what arrived. Blue: forecast of $model with its interval. Red: nothing arrived, or "
        "it was withheld or rejected.",
        queries,
        fieldConfig={"defaults": defaults, "overrides": overrides},
    )


def statuses() -> list[Json]:
    """The state of every sensor over time, and those that are masked at the end."""
    query_ = query("$quantity.status", "$tag_sensor", "max", "$step-max", sensor="*")
    mappings = [
        {"type": "value", "options": {str(v): {"text": t, "color": c}}} for v, t, c in STATUS
    ]
    config = {
        "defaults": {"mappings": mappings, "custom": {"fillOpacity": 80, "lineWidth": 0}},
        "overrides": [],
    }
    masked = [
        {"id": "reduce", "options": {"reducers": ["lastNotNull"]}},
        {
            "id": "filterByValue",
            "options": {
                "type": "include",
                "match": "all",
                "filters": [
                    {
                        "fieldName": "Last *",
                        "config": {"id": "greaterOrEqual", "options": {"value": 1}},
                    }
                ],
            },
        },
        {"id": "organize", "options": {"renameByName": {"Field": "sensor", "Last *": "state"}}},
    ]
    return [
        panel(
            "state-timeline",
            "State of every sensor",
            "What arrived of each sensor.",
            [query_],
            fieldConfig=config,
            options={"showValue": "never"},
        ),
        panel(
            "table",
            "Sensors masked now",
            "Sensors whose last step in view was not observed.",
            [dict(query_)],
            fieldConfig=config,
            transformations=masked,
        ),
    ]


def errors() -> list[Json]:
    """Running and whole error of each model; residuals of one sensor."""
    scored = {"model": "*", "horizon": "$horizon"}
    error = "$quantity.squared_error"
    return [
        panel(
            "timeseries",
            "MSE of each model, by $window",
            "Mean over all sensors of the squared errors that are scored.",
            [query(error, "$tag_model", downsample="$window-avg", **scored)],
        ),
        panel(
            "bargauge",
            "MSE of each model, whole span",
            "The same over all that is in view.",
            [query(error, "$tag_model", downsample="0all-avg", **scored)],
            options={"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal"},
        ),
        panel(
            "timeseries",
            "Residuals of sensor $sensor",
            "Truth minus forecast.",
            [query("$quantity.residual", "$tag_model", sensor="$sensor", **scored)],
        ),
    ]


def known(name: str, first: str, pattern: str = "") -> Json:
    """A choice among all values of tags.

    OpenTSDB says which belong to a tag only where it keeps its tables of meta data, which doubles
    its writes; so sensors, models and horizons are offered together.
    """
    return {
        "name": name,
        "type": "query",
        "query": "suggest_tagv()",
        "regex": pattern,
        "current": {"text": first, "value": first},
        "datasource": SOURCE,
        "refresh": 2,
        "sort": 3,
    }


def written(name: str, first: str) -> Json:
    """A text to be typed."""
    current = {"text": first, "value": first}
    return {"name": name, "type": "textbox", "query": first, "current": current}


def choice(name: str, values: list[str]) -> Json:
    """A choice among the given."""
    options = [{"text": v, "value": v, "selected": v == values[0]} for v in values]
    return {
        "name": name,
        "type": "custom",
        "query": ",".join(values),
        "options": options,
        "current": options[0],
    }


def dashboard(
    uid: str, title: str, span: Json, variables: list[Json], rows: list[list[tuple[Json, int]]]
) -> Json:
    """Panels with their widths, row by row on 24 columns."""
    panels, y = [], 0
    for row in rows:
        x = 0
        for one, width in row:
            panels.append(
                {"id": len(panels) + 1, **one, "gridPos": {"x": x, "y": y, "w": width, "h": 9}}
            )
            x += width
        y += 9
    return {
        "uid": uid,
        "title": title,
        "tags": ["gapcast"],
        "schemaVersion": 41,
        "timezone": "utc",
        "time": span,
        "refresh": "30s",
        "editable": False,
        "templating": {"list": variables},
        "panels": panels,
    }


def forecasts() -> Json:
    """What is forecast, and how well."""
    variables = [
        written("quantity", "temperature"),
        known("sensor", "1"),
        known("model", "spatial", "/[A-Za-z]/"),
        written("horizon", "0"),
        choice("step", ["30m", "1m", "5m", "1h"]),
        choice("window", ["6h", "1h", "1d"]),
    ]
    timeline, masked = statuses()
    running, whole, residuals = errors()
    span = {"from": "2004-03-01T00:00:00.000Z", "to": "2004-03-04T00:00:00.000Z"}
    return dashboard(
        "gapcast-forecasts",
        "Forecasts",
        span,
        variables,
        [
            [(truth(), 24)],
            [(running, 16), (whole, 8)],
            [(timeline, 16), (masked, 8)],
            [(residuals, 24)],
        ],
    )


def run() -> Json:
    """How a run is getting on."""

    def figure(title: str, says: str, name: str, unit: str, rate: bool = False) -> Json:
        return panel(
            "timeseries",
            title,
            says,
            [query(f"gapcast.{name}", "$tag_run", "max", "10s-max", rate, run="*")],
            fieldConfig={"defaults": {"unit": unit}, "overrides": []},
        )

    rows = [
        [
            (figure("Readings a second", "As read from the source.", "rate", "short"), 12),
            (figure("Lag", "How far the watermark is behind the clock.", "lag", "s"), 12),
        ],
        [
            (figure("Readings", "Read since the beginning.", "readings", "short"), 12),
            (figure("Forecasts delivered", "Rows, since the beginning.", "rows", "short"), 12),
        ],
    ]
    return dashboard("gapcast-run", "Run", {"from": "now-1h", "to": "now"}, [], rows)


if __name__ == "__main__":
    for made in (forecasts(), run()):
        path = Path(__file__).parent / "dashboards" / f"{made['uid']}.json"
        path.write_text(json.dumps(made, indent=2) + "\n")
