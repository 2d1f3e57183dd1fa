"""A config read and checked: what `load_config` gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gapcast.engine.config.backtest import Backtest
from gapcast.engine.config.delivering import Deliveries
from gapcast.engine.config.model import (
    Checkpoint,
    Evaluation,
    Grid,
    Limit,
    Sites,
    Targets,
)
from gapcast.engine.config.positions import KeyPath
from gapcast.engine.config.screen import ScreenSection
from gapcast.engine.config.section import InputSection
from gapcast.engine.config.serving import Serve
from gapcast.engine.horizon import NOWCAST, Horizons
from gapcast.engine.redaction import mask
from gapcast.engine.sink import BOTH, Stages

if TYPE_CHECKING:
    from gapcast.engine.backend import Backend
    from gapcast.engine.derivation import Derivation
    from gapcast.engine.forecaster import Forecaster
    from gapcast.engine.plugin import Params, Plugin
    from gapcast.engine.sink import Delivery, Sink
    from gapcast.engine.source import Source

P = TypeVar("P", bound="Plugin")


@dataclass(frozen=True)
class Chosen(Generic[P]):
    """A plugin's section: its `type` as written, the class it means, its checked parameters."""

    type_name: str
    plugin: type[P]
    params: Params = field(repr=False)

    def create(self) -> P:
        """A new object of the plugin. Cheap, by its contract."""
        return self.plugin(self.params)


@dataclass(frozen=True)
class ChosenModel(Chosen[P]):
    """A model's section. horizons: in steps, ascending. level: nominal coverage. derive: whether
    it works through derived quantities, None if that is left to the forecaster. role: ``primary``
    or ``shadow``."""

    horizons: Horizons = field(default=Horizons([NOWCAST]))
    level: float = 0.9
    derive: bool | None = None
    role: str = "primary"


def derives(model: ChosenModel[Forecaster]) -> bool:
    """Whether a model nowcasts through whatever can be derived."""
    wants = model.plugin.derives if model.derive is None else model.derive
    return wants and NOWCAST in model.horizons.asked


@dataclass(frozen=True)
class ChosenSink(Chosen[P]):
    """A sink's section. require: what it has to promise at least, if anything. stages: which rows
    it is given."""

    require: Delivery | None = None
    stages: Stages = BOTH

    def create(self) -> P:
        """A new object of the plugin, that knows which rows it is given."""
        sink = super().create()
        sink.stages = self.stages  # type: ignore[attr-defined]
        return sink


@dataclass(frozen=True)
class ChosenDerivation(Chosen[P]):
    """A derivation's section. inputs: the quantity to forecast and its companion."""

    inputs: tuple[str, str] = ("", "")


@dataclass(frozen=True, repr=False)
class RunConfig:
    """A whole run, every name resolved and every value checked. Durations in microseconds.

    derive: None where the config leaves it open. serve: None where nothing listens. secrets: the
    text as written of every place that held a placeholder.
    """

    name: str
    source: Chosen[Source]
    grid: Grid
    network: Sites
    limits: Mapping[str, Limit]
    screen: ScreenSection
    targets: Targets
    evaluation: Evaluation
    models: Mapping[str, ChosenModel[Forecaster]]
    sinks: Mapping[str, ChosenSink[Sink]]
    checkpoint: Checkpoint
    backend: Chosen[Backend]
    derive: Mapping[str, ChosenDerivation[Derivation]] | None = None
    inputs: Mapping[str, InputSection] = field(default_factory=dict)
    delivery: Deliveries = field(default_factory=Deliveries)
    serve: Serve | None = None
    backtest: Backtest = field(default_factory=Backtest)
    secrets: Mapping[KeyPath, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"RunConfig({self.name!r})"


@dataclass(frozen=True, repr=False)
class ProductionConfig:
    """What ``gapcast produce`` reads and where it sends it, every name resolved and checked."""

    source: Chosen[Source]
    sinks: Mapping[str, Chosen[Sink]]


def redact(config: RunConfig) -> dict[str, Any]:
    """`config` as plain data that JSON can hold, defaults included, placeholders for secrets.

    `read_config` reads it back to an equal config where the same secrets are to be had.
    """
    plain: dict[str, Any] = {"name": config.name, "source": _section(config.source)}
    for key in ("grid", "network", "screen", "targets", "evaluation", "checkpoint", "delivery"):
        plain[key] = getattr(config, key).model_dump(mode="json", by_alias=True)
    plain["limits"] = {q: limit.model_dump(mode="json") for q, limit in config.limits.items()}
    if config.serve:
        plain["serve"] = config.serve.model_dump(mode="json")
    if config.inputs:
        plain["inputs"] = {n: of.model_dump(mode="json") for n, of in config.inputs.items()}
    plain["derive"] = config.derive and {n: _section(of) for n, of in config.derive.items()}
    plain["models"] = {name: _section(model) for name, model in config.models.items()}
    plain["sinks"] = {name: _section(sink) for name, sink in config.sinks.items()}
    plain["backend"] = _section(config.backend)
    plain["backtest"] = config.backtest.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for path, text in config.secrets.items():
        plain = _put(plain, path, text)
    return plain


def _section(chosen: Chosen[Any]) -> dict[str, Any]:
    section = {"type": chosen.type_name, **chosen.params.model_dump(mode="json", by_alias=True)}
    if isinstance(chosen, ChosenModel):
        section["horizons"] = [int(horizon) for horizon in chosen.horizons]
        section |= {"level": chosen.level, "derive": chosen.derive, "role": chosen.role}
    if isinstance(chosen, ChosenSink):
        section |= {"require": chosen.require, "deliver": asdict(chosen.stages)}
    if isinstance(chosen, ChosenDerivation):
        section |= {"from": list(chosen.inputs)}
    return section


def _put(plain: Any, path: KeyPath, text: str) -> Any:
    """`plain` with `text` at `path`; where the config is held in another form than it was written,
    the value that `text` stands for is hidden in all that is below."""
    if not path:
        return text
    key, rest = path[0], path[1:]
    there = key in plain if isinstance(plain, dict) else isinstance(plain, list) and (
        isinstance(key, int) and key < len(plain)
    )  # fmt: skip
    if not there or (rest and not isinstance(plain[key], dict | list)):
        return _hide(plain)
    plain[key] = _put(plain[key], rest, text)
    return plain


def _hide(plain: Any) -> Any:
    if isinstance(plain, str):
        return mask(plain)
    if isinstance(plain, dict):
        return {key: _hide(value) for key, value in plain.items()}
    return [_hide(value) for value in plain] if isinstance(plain, list) else plain
