"""From a file, or plain data, to a `RunConfig`: every mistake at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gapcast.engine.config.checking import Check
from gapcast.engine.config.model import Production, Run
from gapcast.engine.config.overrides import override
from gapcast.engine.config.positions import KeyPath, Mistake, Written, hold, parse, show
from gapcast.engine.config.runconfig import Chosen, ProductionConfig, RunConfig
from gapcast.engine.config.secrets import fill
from gapcast.engine.errors import ConfigError, Problem
from gapcast.engine.redaction import SHORTEST, mask


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read the YAML file at `path`, changed by `overrides` such as ``grid.interval=1h``.

    Paths in a config are relative to the working directory. Raises ConfigError with every
    mistake, in file order.
    """
    check, secrets = _checked(_written(path, overrides), Run)
    assert isinstance(check.run, Run)
    return _assemble(check.run, check.chosen, secrets)


def load_production(path: str | Path, overrides: Iterable[str] = ()) -> ProductionConfig:
    """The same for a config of ``gapcast produce``: a source, and sinks for readings."""
    check, _ = _checked(_written(path, overrides), Production)
    sinks = {str(p[1]): chosen for p, chosen in check.chosen.items() if len(p) > 1}
    return ProductionConfig(check.chosen["source",], sinks)


def _written(path: str | Path, overrides: Iterable[str]) -> Written:
    """The file's keys, changed by `overrides`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), "", "is not UTF-8 text")]) from None
    written = parse(text, str(path))
    if written.data is not None or not written.mistakes:
        override(written, overrides)
    return written


def read_config(data: Mapping[str, Any], overrides: Iterable[str] = ()) -> RunConfig:
    """The same from plain data of a config's form, such as `redact` gives."""
    written = hold(data, "config")
    override(written, overrides)
    check, secrets = _checked(written, Run)
    assert isinstance(check.run, Run)
    return _assemble(check.run, check.chosen, secrets)


def _checked(
    written: Written, form: type[Run] | type[Production]
) -> tuple[Check, dict[KeyPath, str]]:
    """What is right in what was written, and its secrets. Raises ConfigError."""
    data, secrets = fill(written)
    if data is None and not written.mistakes:
        data = {}
    if not isinstance(data, dict | None):
        written.mistakes.append(Mistake((), written.place(()), "must be keys such as name: x"))
    if not isinstance(data, dict):
        raise ConfigError(_problems(written.mistakes, secrets))
    earlier = [mistake.path for mistake in written.mistakes if mistake.path]
    check = Check(data, written, form)
    written.mistakes += [
        Mistake(path, written.place(path), message)
        for path, message in check.found
        if not any(path[: len(e)] == e for e in earlier)
    ]
    if written.mistakes or check.run is None:
        raise ConfigError(_problems(written.mistakes, secrets))
    return check, secrets


def _problems(mistakes: list[Mistake], secrets: dict[KeyPath, str]) -> Iterator[Problem]:
    for mistake in sorted(mistakes, key=lambda m: m.place):
        below = any(path[: len(mistake.path)] == mistake.path for path in secrets)
        message = mask(mistake.message, 1 if below and mistake.path else SHORTEST)
        yield Problem(mistake.place.where, show(mistake.path), message)


def _assemble(
    run: Run, chosen: dict[KeyPath, Chosen[Any]], secrets: dict[KeyPath, str]
) -> RunConfig:
    named: dict[str, dict[str, Any]] = {"models": {}, "sinks": {}, "derive": {}}
    for path, plugin in chosen.items():
        if len(path) > 1:
            named[str(path[0])][str(path[1])] = plugin
    return RunConfig(
        name=run.name,
        source=chosen["source",],
        grid=run.grid,
        network=run.network,
        limits=run.limits,
        screen=run.screen,
        targets=run.targets,
        inputs=run.inputs,
        evaluation=run.evaluation,
        models=named["models"],
        sinks=named["sinks"],
        checkpoint=run.checkpoint,
        delivery=run.delivery,
        serve=run.serve,
        backtest=run.backtest,
        backend=chosen["backend",],
        derive=None if run.derive is None else named["derive"],
        secrets=secrets,
    )
