"""Which series a run reads as inputs, and that there are such, for models that can use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gapcast.engine.config import RunConfig
from gapcast.engine.config.section import split
from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.network.series import Network
from gapcast.engine.source import Source
from gapcast.engine.spelling import meant

SHOWN = 20
"""So many series of the source are named where one is not there."""


class Input(NamedTuple):
    """The key in the config that names an input, and how many steps ahead it is known."""

    key: str
    ahead: int


def named(config: RunConfig, models: Iterable[Model]) -> Mapping[Series, Input]:
    """The config's inputs. Raises RunError where none of `models` reads any."""
    found = {
        Series(*split(series)): Input(f"inputs.{name}", (of.ahead or 0) // config.grid.interval)
        for name, of in config.inputs.items()
        for series in of.series
    }
    if found and not any(model.forecaster.needs().inputs for model in models):
        raise RunError("inputs: none of the models reads any; add one that does, such as auto")
    return found


def network(
    series: Iterable[Series],
    positions: Mapping[str, tuple[float, float]],
    inputs: Mapping[Series, Input],
    models: Iterable[Model],
) -> Network:
    """The network of `series` and `inputs`, with what is known ahead at the models' horizons."""
    reading = (model for model in models if model.forecaster.needs().inputs)
    leads = {int(h) for model in reading for h in model.asked if h > 0}
    return Network.of(series, positions, {s: of.ahead for s, of in inputs.items()}, leads)


def check_there(inputs: Mapping[Series, Input], found: Iterable[Series], source: Source) -> None:
    """Raises RunError where an input is not among the series `found` in `source`."""
    there = {*found}
    missing = next((series for series in inputs if series not in there), None)
    if missing is None:
        return
    source.close()
    source.open(None)
    known = sorted("/".join(series) for series in source.discover())
    wanted = "/".join(missing)
    shown = ", ".join(known[:SHOWN]) + (", …" if len(known) > SHOWN else "")
    raise RunError(
        f"{inputs[missing].key}: the source has no {wanted!r}"
        f"{meant(wanted, known) or f', only {shown}'}"
    )


def check_hidden(
    inputs: Mapping[Series, Input], config: RunConfig, targets: Iterable[Series]
) -> None:
    """Raises RunError where a span is to hide whole sensors, one of which has an input: all targets
    of a unit read that, those of its sensor too."""
    if config.evaluation.hide != "each-sensor" or not config.evaluation.spans:
        return
    sensors = {target.sensor for target in targets}
    for series, of in inputs.items():
        if series.sensor in sensors:
            raise RunError(
                f"{of.key}: {'/'.join(series)!r} is of a sensor with targets, from which "
                "evaluation.hide: each-sensor cannot hide it; take each"
            )
