"""The plan of a job's models: all that a shard needs, whole or cut to some targets and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.description import created, describe, loose_modules
from gapcast.engine.errors import BrokenPlugin
from gapcast.engine.forecaster import Ints, Layout, Model, Series
from gapcast.engine.horizon import Horizons
from gapcast.engine.network.layouts import for_targets, halo, narrow
from gapcast.engine.shard.evaluation import Evaluation, Gaps, Span
from gapcast.engine.state import Arrays, Parcel, below, within

_ARRAYS = ("targets", "regressors", "companions", "units", "members", "partners", "inputs", "leads")


@dataclass(frozen=True)
class Plan:
    """Models and their layouts over the same targets, how they are judged, in which windows.

    window: length of a score window in µs. job_targets: columns of the whole job's targets,
    which ``hide: together`` blanks. periods: of quantities that begin anew, such as directions.
    """

    models: tuple[Model, ...]
    layouts: tuple[Layout, ...]
    how: Evaluation
    window: int
    job_targets: Ints
    periods: Mapping[str, float] = field(default_factory=dict)

    def for_targets(self, targets: Ints) -> Plan:
        """The plan of a shard that owns these of the targets (ascending indices)."""
        return replace(self, layouts=tuple(for_targets(layout, targets) for layout in self.layouts))

    def columns(self) -> Ints:
        """Columns of the frames that any of the models reads, ascending."""
        return np.unique(np.concatenate([halo(layout) for layout in self.layouts]))

    def narrow(self, columns: Ints) -> Plan:
        """The same plan over frames that have only `columns`."""
        there = self.job_targets[np.isin(self.job_targets, columns)]
        return replace(
            self,
            layouts=tuple(narrow(layout, columns) for layout in self.layouts),
            job_targets=np.searchsorted(columns, there),
        )

    def loose_modules(self) -> list[Path]:
        """Files of forecasters' modules that no installed package provides: a worker elsewhere
        does not have them."""
        return loose_modules([describe(model.forecaster) for model in self.models])

    def parcel(self) -> Parcel:
        """The plan for another process: names, JSON values and arrays, no code."""
        first = self.layouts[0]
        meta = {
            "models": [_model(model) for model in self.models],
            "layouts": [{"choose": lay.choose, "level": lay.level} for lay in self.layouts],
            "interval": first.interval,
            "series": [[s.sensor for s in first.series], [s.quantity for s in first.series]],
            "how": asdict(self.how),
            "window": self.window,
            "periods": dict(self.periods),
        }
        arrays = {"job_targets": self.job_targets}
        for m, layout in enumerate(self.layouts):
            arrays[f"{m}/horizons"] = layout.horizons
        return meta, arrays | layouts_of(self)


def layouts_of(plan: Plan) -> dict[str, NDArray[Any]]:
    """The arrays of all layouts, for checkpoints; `with_arrays` takes them back."""
    found: dict[str, NDArray[Any]] = {}
    for m, layout in enumerate(plan.layouts):
        found |= within(str(m), {name: getattr(layout, name) for name in _ARRAYS})
    return found


def with_arrays(layouts: Sequence[Layout], arrays: Arrays) -> tuple[Layout, ...]:
    """Layouts of the same models and series with other arrays."""
    return tuple(
        replace(layout, **{name: np.array(a) for name, a in below(arrays, str(m)).items()})  # type: ignore[arg-type]
        for m, layout in enumerate(layouts)
    )


def of_parcel(parcel: Parcel) -> Plan:
    """The plan in a parcel. Raises BrokenPlugin when a forecaster's module is not here."""
    meta, carried = parcel
    # Kernels are compiled for arrays that may be written to, whatever the carrier brings.
    arrays = {name: np.array(a) for name, a in carried.items()}
    series = tuple(map(Series, *meta["series"]))
    layouts = tuple(
        Layout(
            interval=meta["interval"],
            series=series,
            horizons=arrays[f"{m}/horizons"],
            **about,
            **{name: arrays[f"{m}/{name}"] for name in _ARRAYS},  # type: ignore[arg-type]
        )
        for m, about in enumerate(meta["layouts"])
    )
    how = dict(meta["how"])
    how["spans"] = tuple(
        Span(s["start"], s["stop"], s["sensors"] and tuple(s["sensors"])) for s in how["spans"]
    )
    how["sensors"] = how["sensors"] and tuple(how["sensors"])
    how["gaps"] = how["gaps"] and Gaps(**how["gaps"])
    models = tuple(_create(model) for model in meta["models"])
    return Plan(
        models, layouts, Evaluation(**how), meta["window"], arrays["job_targets"], meta["periods"]
    )


def _model(model: Model) -> dict[str, Any]:
    horizons = [int(horizon) for horizon in model.horizons]
    own = {"name": model.name, "horizons": horizons, "level": model.level, "shadow": model.shadow}
    return describe(model.forecaster) | own


def _create(about: dict[str, Any]) -> Model:
    try:
        forecaster = created(about)
    except BrokenPlugin as error:
        raise BrokenPlugin(f"models.{about['name']}: {error}") from None
    horizons = Horizons(about["horizons"])
    return Model(about["name"], forecaster, horizons, about["level"], about["shadow"])
