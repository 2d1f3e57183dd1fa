"""A draft: a config, what is not sure in it, and what was understood."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gapcast.engine.drafting.text import Path, yaml_of

HEAD = """\
Made by `gapcast init {what}` of what was seen there.
`gapcast check` says what a run understands, `gapcast run` runs it; all keys: docs/config.md."""


@dataclass(frozen=True)
class Draft:
    """what: that was looked at. config: its data. notes: comments by key. unsure: those of them
    that may be wrong, by key. lines: what was understood, for people."""

    what: str
    config: Mapping[str, Any]
    notes: Mapping[Path, str]
    unsure: Mapping[Path, str]
    lines: Sequence[str] = field(default_factory=list)

    def text(self) -> str:
        """The config as YAML."""
        notes = {**self.notes}
        for path, why in self.unsure.items():
            notes[path] = "\n".join(filter(None, (notes.get(path, ""), f"Not sure: {why}")))
        return yaml_of(self.config, notes, HEAD.format(what=self.what))


def config_of(
    name: str, source: Mapping[str, Any], grid: Mapping[str, Any], quantities: Sequence[str],
    sensors: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """A config's data. sensors: those of the network, where the source cannot find them."""
    network = {"network": {"sensors": list(sensors)}} if sensors else {}
    return {
        "name": re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "run",
        "source": escaped(source),
        **network,
        "grid": dict(grid),
        "targets": {"sensors": "all", "quantities": escaped(list(quantities))},
        "models": {"auto": {"type": "auto"}},
        "sinks": {"files": {"type": "files"}, "console": {"type": "console"}},
    }


NOTES: Mapping[Path, str] = {
    ("models", "auto"): "With horizons: [0, 1, 6] also what comes 1 and 6 steps later.",
    ("sinks", "files"): "Forecasts, scores and a report below runs/.",
}


def escaped(value: Any) -> Any:
    """Data in which no text is taken for the name of a secret."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: escaped(of) for key, of in value.items()}
    return [escaped(of) for of in value] if isinstance(value, list | tuple) else value
