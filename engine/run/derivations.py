"""What a run derives: of which quantities, through what, and for which of its models."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace

from pydantic import ValidationError

from gapcast.engine.config import RunConfig
from gapcast.engine.config.runconfig import derives
from gapcast.engine.errors import BrokenPlugin, RunError
from gapcast.engine.forecaster import Model
from gapcast.engine.registry import Entry, Kind, Registry
from gapcast.engine.shard.derived import Link, Through

log = logging.getLogger("gapcast.deriving")


def candidates(config: RunConfig, asked: bool) -> Mapping[str, Link]:
    """Derivations by name that may serve the run: those in the config, else every installed one
    for the targets that needs no parameters, gapcast's own first.

    asked: whether the source is asked for its series. If not, nobody knows what it carries, and
    only what the config names is derived.
    """
    if not any(derives(model) for model in config.models.values()):
        return {}
    if config.derive is not None:
        return {n: Link(one.create(), *one.inputs) for n, one in config.derive.items()}
    links = _installed() if asked else ()
    return {name: link for name, link in links if link.value in config.targets.quantities}


def found(config: RunConfig, links: Mapping[str, Link], carried: Set[str]) -> Mapping[str, Link]:
    """Those of `links` whose quantities are among those `carried`, the first for each value.

    Raises RunError when one that the config names is not, or when a model insists on deriving and
    there is none.
    """
    chosen: dict[str, Link] = {}
    for name, link in links.items():
        missing = sorted({link.value, link.companion} - carried)
        if missing and config.derive:
            known = ", ".join(sorted(carried)) or "nothing"
            raise RunError(f"derive.{name}: the source has no {missing[0]!r}, only {known}")
        if not missing and link.value not in {other.value for other in chosen.values()}:
            chosen[name] = link
    insisting = [name for name, model in config.models.items() if model.derive]
    if insisting and not chosen:
        raise RunError(
            f"models.{insisting[0]}.derive: nothing is known to be derived; name it, as in "
            "derive: {dew_point: {from: [temperature, humidity]}}"
        )
    return chosen


def through(model: Model, links: Mapping[str, Link], config: RunConfig) -> Model:
    """`model` as the config wants it: through `links`, or alone."""
    if not links or not derives(config.models[model.name]):
        return model
    log.info("model %s forecasts derived quantities, by %s", model.name, ", ".join(links))
    return replace(model, forecaster=Through.of(model.forecaster, list(links.values())))


def _installed() -> Iterator[tuple[str, Link]]:
    entries = [e for e in Registry.installed().entries if e.kind is Kind.DERIVATION]
    for entry in sorted(entries, key=lambda e: e.package != "gapcast"):
        link = _linked(entry)
        if link:
            yield f"{entry.package}:{entry.name}", link


def _linked(entry: Entry) -> Link | None:
    try:
        plugin = entry.load()
        return Link(plugin(plugin.Params()), *plugin.quantities)
    except BrokenPlugin as error:
        log.warning("derivation skipped: %s", error)
    except ValidationError:  # its parameters are for a config to give
        pass
    return None
