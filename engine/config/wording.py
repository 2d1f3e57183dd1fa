"""What pydantic finds wrong, in our own words, at the key where it was written.

The words come from the kind of error and from the text as written, never from the value that
was checked, so that what a placeholder stood for cannot get into them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, PydanticUserError, ValidationError
from pydantic_core import ErrorDetails

from gapcast.engine.config.positions import KeyPath, Written
from gapcast.engine.spelling import meant, nearest

_LONGEST = 60
_EXPECTED = {
    "bool": "true or false",
    "datetime": "a time such as 2004-03-03T00:00:00Z",
    "dict": "a section of keys",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "mapping": "a section of keys",
    "model": "a section of keys",
    "string": "text (in quotes if it reads as something else)",
    "tuple": "a list",
}
"""By the first word of pydantic's error type; its own words serve for the others."""


@dataclass(frozen=True)
class Checked:
    """A part of a config that was checked against `model`: its data, from `path` downwards.

    others: further keys that are known at its top.
    """

    path: KeyPath
    data: Any
    model: type[BaseModel]
    others: tuple[str, ...] = ()


def explain(
    error: ValidationError, part: Checked, written: Written
) -> Iterator[tuple[KeyPath, str]]:
    """Key path and message of every mistake; alternatives of one key joined into one message."""
    found: dict[tuple[KeyPath, str], list[str]] = {}
    for detail in error.errors(include_url=False):
        below = _path(detail, part)
        if _only_follows(detail, _value(part.data, below)):
            continue
        message = _message(detail, part, below)
        path = (*part.path, *below)
        if message.startswith("must be "):
            found.setdefault((path, ""), []).append(message.removeprefix("must be "))
        else:
            found[path, message] = []
    for (path, message), alternatives in found.items():
        one_of = " or ".join(dict.fromkeys(alternatives))
        yield path, message or f"must be {one_of}{_found(written, path)}"


def _only_follows(detail: ErrorDetails, value: Any) -> bool:
    """Pydantic calls a list too short when its items are there but wrong, each told by itself."""
    return detail["type"] == "too_short" and len(value or ()) >= detail["ctx"]["min_length"]


def _path(detail: ErrorDetails, part: Checked) -> KeyPath:
    """The error's keys as they are in the data, without pydantic's names of union members."""
    path: list[str | int] = []
    data = part.data
    for key in detail["loc"]:
        if isinstance(data, dict) and str(key) in data:
            key = str(key)
        elif not (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            continue
        path.append(key)
        data = data[key]
    last = detail["loc"][-1:]
    absent = isinstance(data, dict) and last != tuple(path[-1:])
    if detail["type"] == "missing" or (absent and last[0] in known_keys(part.model, tuple(path))):
        path.append(last[0])
    return tuple(path)


def _message(detail: ErrorDetails, part: Checked, below: KeyPath) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return "required key is missing"
    if kind == "extra_forbidden":
        return unknown_key(part, below)
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", detail["msg"])).partition("\n")[0]
    if kind in ("literal_error", "enum"):
        words = re.findall(r"'([^']*)'", context["expected"])
        close = nearest(str(_value(part.data, below)), words)
        return f"must be {context['expected']}" + (f" (perhaps {close[0]!r})" if close else "")
    if kind == "too_short" and context.get("min_length") == 1:
        return "must be not empty"
    first = kind.partition("_")[0]
    if first in _EXPECTED and kind.endswith(("_type", "_parsing", "_from_float")):
        return f"must be {_EXPECTED[first]}"
    message = re.sub(r"^[A-Z]\w*( input)? should ", "must ", detail["msg"])
    return re.sub(r"(, unable to| after validation).*", "", message)


def unknown_key(part: Checked, below: KeyPath) -> str:
    """What to say of a key that `part` does not know at `below`."""
    known = known_keys(part.model, below[:-1])
    known += () if below[:-1] else part.others
    listed = f"; known here: {', '.join(known)}" if known else ""
    return f"unknown key{meant(str(below[-1]), known) or listed}"


def _value(data: Any, path: KeyPath) -> Any:
    """What is at `path`, nothing if there is no such place."""
    for key in path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _found(written: Written, path: KeyPath) -> str:
    """``, got 'abc'``: the text as written, or what kind of thing is there."""
    value = _value(written.data, path)
    if value is None:
        return ", got nothing" if path in written.places else ""
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "a section"
        return f", got {kind if value else 'an empty ' + kind[2:]}"
    text = written.place(path).text
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f", got {text!r}" if isinstance(value, str) else f", got {text}"


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Keys that `model` knows below `path`, of every alternative there; none if it cannot say."""
    try:
        schema = model.model_json_schema()
    except PydanticUserError:
        return [field.alias or name for name, field in model.model_fields.items()]
    found = _alternatives(schema, schema)
    for key in path:
        inside: list[dict[str, Any]] = []
        for each in found:
            keyed = each.get("properties", {}).get(key, each.get("additionalProperties"))
            item = each.get("items") if isinstance(key, int) else keyed
            if isinstance(item, dict):
                inside += _alternatives(item, schema)
        found = inside
    return [key for each in found for key in each.get("properties", {})]


def _alternatives(node: dict[str, Any], whole: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _alternatives(whole["$defs"][node["$ref"].rpartition("/")[2]], whole)
    choices = [c for word in ("anyOf", "oneOf", "allOf") for c in node.get(word, [])]
    return [node, *(a for c in choices for a in _alternatives(c, whole))]
