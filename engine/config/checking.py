"""Every check of a config's data: gapcast's own keys, the plugins' keys, and both together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from gapcast.engine.config.model import (
    FORMS,
    CircularMean,
    DerivedSection,
    ModelSection,
    PluginSection,
    Production,
    Run,
    SinkSection,
    keys,
)
from gapcast.engine.config.positions import KeyPath, Written
from gapcast.engine.config.runconfig import (
    Chosen,
    ChosenDerivation,
    ChosenModel,
    ChosenSink,
    derives,
)
from gapcast.engine.config.section import split
from gapcast.engine.config.wording import Checked, explain
from gapcast.engine.errors import PluginError
from gapcast.engine.horizon import Horizons
from gapcast.engine.registry import Entry, Kind, Registry
from gapcast.engine.sink import Receives
from gapcast.engine.spelling import meant
from gapcast.engine.units import read_duration


class Check:
    """Checks `data`, the data of `written` with its secrets filled in.

    form: what it should be. found: what is wrong. run: gapcast's own keys, if they are right.
    chosen: the plugin of every section for which there is one with the right parameters.
    """

    def __init__(
        self, data: dict[str, Any], written: Written, form: type[Run] | type[Production] = Run
    ) -> None:
        self.found: list[tuple[KeyPath, str]] = []
        self.chosen: dict[KeyPath, Chosen[Any]] = {}
        self.run: Run | Production | None = None
        self._form = form
        self._data, self._written = data, written
        self._registry = Registry.installed()
        self._context = {"interval": _interval(data)}
        try:
            self.run = form.model_validate(data, context=self._context)
            self.found += _contradictions(self.run, data) if isinstance(self.run, Run) else ()
        except ValidationError as error:
            self.found += explain(error, Checked((), data, form), written)
        for kind, path, section in _sections(data, form):
            chosen = self._choose(kind, path, section)
            if chosen and kind is Kind.FORECASTER:
                chosen = self._with_model_keys(path, section, chosen)
            elif chosen and kind is Kind.DERIVATION:
                chosen = self._with_inputs(section, chosen)
            elif chosen and kind is Kind.SINK:
                chosen = self._with_requirement(path, section, chosen)
            if chosen:
                self.chosen[path] = chosen
        self.found += self._misdirected({c: s.plugin for c, s in self.chosen.items()})
        if isinstance(self.run, Run):
            self.found += _contradicting(self.run, self.chosen)
            self._settings(self.run)

    def _misdirected(self, chosen: dict[KeyPath, type[Any]]) -> Iterator[tuple[KeyPath, str]]:
        """Sinks that are for something else than what they would get."""
        sinks = {path: plugin for path, plugin in chosen.items() if path[0] == "sinks"}
        allowed = {
            Run: (Receives.FORECASTS, Receives.DEAD_LETTERS),
            Production: (Receives.READINGS,),
        }[self._form]
        for path, plugin in sinks.items():
            if plugin.receives not in allowed:
                wanted = " or ".join(allowed)
                yield (
                    (*path, "type"),
                    f"is a sink for {plugin.receives}; one for {wanted} goes here",
                )
        if self._form is Run and {p.receives for p in sinks.values()} == {Receives.DEAD_LETTERS}:
            yield ("sinks",), "none of them receives forecasts"

    def _choose(self, kind: Kind, path: KeyPath, section: dict[str, Any]) -> Chosen[Any] | None:
        """The section's plugin with its parameters."""
        try:
            entry = self._registry.find(kind, section["type"])
            plugin = entry.load()
        except PluginError as error:
            self.found.append(((*path, "type"), str(error)))
            return None
        others = keys(FORMS.get(kind, PluginSection))
        own = {key: value for key, value in section.items() if key not in others}
        try:
            return Chosen(section["type"], plugin, plugin.Params.model_validate(own))
        except ValidationError as error:
            part = Checked(path, own, plugin.Params, tuple(others))
            origin = _origin(section["type"], entry)
            self.found += [(p, m + origin) for p, m in explain(error, part, self._written)]
            return None

    def _with_model_keys(
        self, path: KeyPath, section: dict[str, Any], chosen: Chosen[Any]
    ) -> ChosenModel[Any] | None:
        """`chosen` with the keys that every model has; what is wrong in these, `run` has told."""
        try:
            model = ModelSection.model_validate(section, context=self._context)
        except ValidationError:
            return None
        least, most = chosen.plugin.horizons
        known = self._context["interval"] is not None
        horizons = Horizons(model.horizons)
        asked = horizons.asked
        if known and not least <= asked[0] <= asked[-1] <= most:
            served = str(least) if least == most else f"{least} to {most}"
            message = f"{chosen.type_name} serves horizons of {served} steps only"
            self.found.append(((*path, "horizons"), message))
        name, plugin, params = chosen.type_name, chosen.plugin, chosen.params
        return ChosenModel(name, plugin, params, horizons, model.level, model.derive, model.role)

    def _with_inputs(
        self, section: dict[str, Any], chosen: Chosen[Any]
    ) -> ChosenDerivation[Any] | None:
        """`chosen` with the quantities it works on; what is wrong in these, `run` has told."""
        try:
            inputs = DerivedSection.model_validate(section).inputs
        except ValidationError:
            return None
        name, plugin, params = chosen.type_name, chosen.plugin, chosen.params
        return ChosenDerivation(name, plugin, params, inputs or plugin.quantities)

    def _with_requirement(
        self, path: KeyPath, section: dict[str, Any], chosen: Chosen[Any]
    ) -> ChosenSink[Any] | None:
        """`chosen` with what it must promise and what it is given; what is wrong in these keys,
        `run` has told."""
        try:
            found = SinkSection.model_validate(section)
        except ValidationError:
            return None
        required, promised = found.require, chosen.plugin.delivery
        if required and not promised.at_least(required):
            message = (
                f"{chosen.type_name} promises only {promised}, expected {required}: "
                "choose another sink, or require less"
            )
            self.found.append(((*path, "require"), message))
        stages = replace(chosen.plugin.stages, **(found.deliver.given() if found.deliver else {}))
        if not (stages.ahead or stages.final):
            message = f"{chosen.type_name} would be given no rows; expected ahead or final, or both"
            self.found.append(((*path, "deliver"), message))
        name, plugin, params = chosen.type_name, chosen.plugin, chosen.params
        return ChosenSink(name, plugin, params, required, stages)

    def _settings(self, run: Run) -> None:
        """Every value of `backtest.grid`, tried in its model's section."""
        for key, values in run.backtest.grid.items():
            place: KeyPath = ("backtest", "grid", key)
            model, _, name = key.partition(".")
            if not name or name == "type" or model not in run.models:
                message = f"must be model.key{meant(model, run.models)}; models: "
                self.found.append((place, message + ", ".join(run.models)))
                continue
            section = run.models[model].model_dump(by_alias=True, exclude_unset=True)
            for i, value in enumerate(values):
                self._try(section, name, value, (*place, i))

    def _try(self, section: dict[str, Any], name: str, value: Any, place: KeyPath) -> None:
        """What is wrong with a model's section for one value in it, told at `place`."""
        tried, told = section | {name: value}, self.found
        self.found = []
        try:
            if name in keys(ModelSection):
                ModelSection.model_validate(tried, context=self._context)
        except ValidationError as error:
            self.found += explain(error, Checked(place, tried, ModelSection), self._written)
        if chosen := self._choose(Kind.FORECASTER, place, tried):
            self._with_model_keys(place, tried, chosen)
        wrong = [(p, m) for p, m in self.found if p[len(place) :][:1] == (name,)]
        self.found = told + [(place + p[len(place) + 1 :], m) for p, m in wrong]


def _interval(data: dict[str, Any]) -> int | None:
    try:
        return read_duration(data["grid"]["interval"])
    except (ValueError, KeyError, TypeError):
        return None


def _sections(
    data: dict[str, Any], form: type[Run] | type[Production]
) -> Iterator[tuple[Kind, KeyPath, dict[str, Any]]]:
    """Every section that names a plugin, those not written included."""
    default = {"backend": Run.model_fields["backend"].get_default().model_dump()}
    for key in ("models", "sinks"):
        named = Run.model_fields[key].get_default()
        default[key] = {name: section.model_dump() for name, section in named.items()}
    whole = (default if form is Run else {}) | data
    places: list[tuple[Kind, KeyPath]] = [(Kind.SOURCE, ("source",)), (Kind.BACKEND, ("backend",))]
    named = ((Kind.FORECASTER, "models"), (Kind.SINK, "sinks"), (Kind.DERIVATION, "derive"))
    for kind, key in named:
        if isinstance(whole.get(key), dict):
            places += [(kind, (key, name)) for name in whole[key]]
    for kind, path in places:
        if path[0] not in form.model_fields:
            continue
        section: Any = whole
        for step in path:
            section = section.get(step, {})
        if kind is Kind.DERIVATION and isinstance(section, dict) and not section.get("type"):
            section = section | {"type": str(path[-1]).replace("_", "-")}
        if isinstance(section, dict) and isinstance(section.get("type"), str):
            yield kind, path, section


def _origin(written_type: str, entry: Entry) -> str:
    """Whose plugin it is, if not gapcast's."""
    if entry.package == "gapcast":
        return ""
    package = f", package {entry.origin}" if entry.package else ""
    return f" ({written_type} {entry.kind}{package})"


def _contradictions(run: Run, data: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Keys that are right by themselves but not together."""
    known = run.network.sensors
    if known and run.targets.sensors:
        for i, sensor in enumerate(run.targets.sensors):
            if sensor not in known:
                yield ("targets", "sensors", i), f"{sensor!r} is not one of network.sensors"
    seen: set[str] = set()
    for name, of in run.inputs.items():
        if of.ahead and of.ahead % run.grid.interval:
            yield ("inputs", name, "ahead"), "must be a multiple of grid.interval"
        listed = isinstance(data["inputs"][name], list)
        below: KeyPath = ("inputs", name) if listed else ("inputs", name, "series")
        for i, series in enumerate(of.series):
            wrong = f"{series!r} is named twice" if series in seen else _no_input(run, series)
            seen.add(series)
            if wrong:
                yield (*below, i), wrong


def _no_input(run: Run, series: str) -> str | None:
    """Why a series cannot be an input, if it cannot."""
    sensor, quantity = split(series)
    sensors, aggregate = run.targets.sensors, run.grid.aggregate
    if quantity in run.targets.quantities and (sensors is None or sensor in sensors):
        return f"{series!r} is a target, too: list targets.sensors without {sensor!r}"
    if isinstance(aggregate, dict) and isinstance(aggregate.get(quantity), CircularMean):
        return f"{series!r} begins anew (grid.aggregate): directions cannot be inputs"
    return None


def _contradicting(run: Run, chosen: dict[KeyPath, Chosen[Any]]) -> Iterator[tuple[KeyPath, str]]:
    """What is derived, by what the plugins say, and what the models make of it."""
    models = {p: c for p, c in chosen.items() if isinstance(c, ChosenModel)}
    for path, model in models.items():
        if model.derive and run.derive == {}:
            yield (*path, "derive"), "there is nothing to derive: derive is {}"
        elif model.derive and not derives(model):
            yield (*path, "derive"), "what is derived serves horizons of 0 and below only"
    derived = {p: c for p, c in chosen.items() if isinstance(c, ChosenDerivation)}
    if derived and not any(derives(model) for model in models.values()):
        yield ("derive",), "no model makes use of it; give one derive: true"
    before: dict[str, KeyPath] = {}
    for path, one in derived.items():
        value, companion = one.inputs
        if value not in run.targets.quantities:
            yield path, f"is for {value}, which is not one of targets.quantities"
        elif value == companion:
            yield path, f"needs two quantities, not {value} twice"
        elif value in before:
            yield path, f"is for {value}, and so is {before[value][-1]}; one is enough"
        before.setdefault(value, path)
