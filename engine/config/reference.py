"""Renders ``docs/config.md`` from the models: every key, what it may be, its default, its meaning.

``python -m gapcast.engine.config.reference > docs/config.md`` brings the page up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from gapcast.engine.config.model import ModelSection, Run
from gapcast.engine.config.schema import schema_of
from gapcast.engine.registry import Kind, Registry

_INTRODUCTION = """\
# Every key of a config

<!-- Rendered from the models: python -m gapcast.engine.config.reference > docs/config.md -->

`gapcast check CONFIG` says what is wrong with a config, every mistake at once, with its line, and
what it understands of the source's files.
`gapcast check --schema` prints a JSON Schema, with which editors complete and check the YAML.
`--set KEY=VALUE` changes a key for one run: `--set grid.interval=1h`.

Values with a unit are written with it: durations `500ms`, `30s`, `5min`, `1h`, `1d`; sizes `10MB`,
`64MiB`; speeds `max`, `60x`. Times are in UTC unless they say otherwise. Paths are relative to the
working directory. In any text, `${NAME}` stands for an environment variable and `${file:/path}`
for what a file holds, less its last line break; neither is ever shown again. `$${` is a plain `${`.

`type` names a plugin: `ema`; `package:ema` if several packages have one of that name; or
`my.module:MyClass` for a class of your own. The other keys of its section are the plugin's.

In the tables, `<name>` is any name and `[]` each item of a list.
"""
_WORDS = {
    "array": "a list",
    "boolean": "true, false",
    "integer": "whole number",
    "null": "nothing",
    "number": "number",
    "object": "section",
    "string": "text",
}


def render(registry: Registry | None = None) -> str:
    """The page, in Markdown, with gapcast's own plugins in `registry` (default: the installed).

    Raises BrokenPlugin if one of them cannot be loaded.
    """
    parts = [_INTRODUCTION, "## The run\n", _table(schema_of(Run))]
    parts += ["## Every model\n", _table(schema_of(ModelSection))]
    entries = (registry or Registry.installed()).entries
    own = [entry for entry in entries if entry.package == "gapcast"]
    for kind in Kind:
        parts.append(f"## {kind.capitalize()}s\n")
        for entry in own:
            if entry.kind == kind:
                plugin = entry.load()
                first = (plugin.__doc__ or "").strip().partition("\n\n")[0]
                text = " ".join(first.split())
                parts += [f"### `{entry.name}`\n", f"{text}\n", _table(schema_of(plugin.Params))]
    return "\n".join(parts)


def _table(schema: dict[str, Any]) -> str:
    lines = [
        " | ".join(["", f"`{key}`", *(t.replace("|", "\\|") for t in row), ""]).strip()
        for key, *row in _rows(schema, schema, "")
    ]
    if not lines:
        return "No keys of its own.\n"
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *lines, ""])


def _rows(schema: dict[str, Any], whole: dict[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
    """Key, value, default and meaning of everything below a section, depth first."""
    for name, node in schema.get("properties", {}).items():
        key = f"{prefix}{name}"
        default = "required" if name in schema.get("required", ()) else _default(node)
        meaning = node.get("description", "")
        inside, path = _section(node, whole)
        if not inside:
            yield key, _value(node, whole), default, meaning
            continue
        if default != "required" and all("default" in n for n in inside["properties"].values()):
            default = ""  # said of each key below
        yield f"{key}{path}", "section", default, meaning or inside.get("description", "")
        yield from _rows(inside, whole, f"{key}{path}.")


def _default(node: dict[str, Any]) -> str:
    default = node.get("default")
    if default is None:
        return ""
    shown = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    return f"`{shown}`" if shown else ""


def _section(node: dict[str, Any], whole: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The section that a key holds, once, by name or as items of a list; empty if none."""
    for found in _alternatives(node, whole):
        if "properties" in found and len(_alternatives(node, whole)) == 1:
            return found, ""
        for word, path in (("items", "[]"), ("additionalProperties", ".<name>")):
            below = found.get(word)
            if isinstance(below, dict):
                inside = _alternatives(below, whole)[0]
                if "properties" in inside:
                    return inside, path
    return {}, ""


def _alternatives(node: dict[str, Any], whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The things that a key may hold, references looked up, nothing left out but nothing."""
    if "$ref" in node:
        return _alternatives(whole["$defs"][node["$ref"].rpartition("/")[2]], whole)
    choices = node.get("anyOf") or node.get("oneOf") or [node]
    if choices == [node]:
        return choices
    found = [a for choice in choices for a in _alternatives(choice, whole)]
    return [a for a in found if a.get("type") != "null"]


def _value(node: dict[str, Any], whole: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_one_value(a, whole) for a in _alternatives(node, whole)))


def _one_value(node: dict[str, Any], whole: dict[str, Any]) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{word}`" for word in node["enum"])
    if "examples" in node:
        return "such as " + ", ".join(f"`{word}`" for word in node["examples"])
    if "properties" in node:
        keys = (f"{k}: {_value(v, whole)}" for k, v in node["properties"].items())
        return f"{{{', '.join(keys)}}}"
    if isinstance(node.get("items"), dict):
        return f"[{_value(node['items'], whole)}, ...]"
    kinds = node.get("type", "anything")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds) + _range(node)


def _range(node: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f" {sign} {node[word]}" for word, sign in signs.items() if word in node)


if __name__ == "__main__":
    sys.stdout.write(render())
