"""What pydantic finds wrong, in our own words, at the key where it was written.

The words come from the kind of error and from the text as written, never from the value that
was checked, so that what a placeholder stood for cannot get into them.
"""

from __future__ import annotations

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
    "bytes": "text",
    "date": "a day such as 2004-03-03",
    "date_from_datetime": "a day such as 2004-03-03",
    "datetime": "a time such as 2004-03-03T00:00:00Z",
    "datetime_from_date": "a time such as 2004-03-03T00:00:00Z",
    "decimal": "a number",
    "dict": "a section of keys",
    "float": "a number",
    "frozen_set": "a list",
    "int": "a whole number",
    "list": "a list",
    "mapping": "a section of keys",
    "model": "a section of keys",
    "path": "a path",
    "set": "a list",
    "string": "text (in quotes if it reads as something else)",
    "time": "a time of day such as 06:30",
    "time_delta": "a length of time such as 01:30:00",
    "tuple": "a list",
    "url": "a URL such as http://host:8080",
    "uuid": "a UUID",
}
"""What a value must be, by pydantic's type of error without its ending, one of these:"""
_ENDINGS = ("_type", "_parsing", "_parsing_size", "_from_float", "_inexact")
_EMPTY = "must not be empty"
_LIMITS = {
    "date_future": "be in the future",
    "date_past": "be in the past",
    "datetime_future": "be in the future",
    "datetime_past": "be in the past",
    "decimal_max_digits": "have at most {max_digits} digits",
    "decimal_max_places": "have at most {decimal_places} digits after the point",
    "finite_number": "be a finite number",
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be greater than or equal to {ge}",
    "less_than": "be less than {lt}",
    "less_than_equal": "be less than or equal to {le}",
    "multiple_of": "be a multiple of {multiple_of}",
    "string_pattern_mismatch": "match pattern '{pattern}'",
    "string_too_long": "have at most {max_length} character{s}",
    "string_too_short": "have at least {min_length} character{s}",
    "too_long": "have at most {max_length} item{s}",
    "too_short": "have at least {min_length} item{s}",
    "union_tag_invalid": "have one of {expected_tags} as {discriminator}",
    "union_tag_not_found": "have the key {discriminator}",
    "url_scheme": "be a URL that begins with {expected_schemes}",
}
"""What else it must, by the type of error; pydantic's own words serve for those in neither."""


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
        found_there = _found(written, path) if message in ("", _EMPTY) else ""
        yield path, (message or f"must be {one_of}") + found_there


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
        words = context["expected"].split("'")[1::2]
        close = nearest(str(_value(part.data, below)), words)
        return f"must be {context['expected']}" + (f" (perhaps {close[0]!r})" if close else "")
    if kind == "too_short" and context.get("min_length") == 1:
        return _EMPTY
    if kind in _LIMITS:
        return f"must {_LIMITS[kind].format_map(_figures(context))}"
    bare = next((kind.removesuffix(end) for end in _ENDINGS if kind.endswith(end)), "")
    return f"must be {_EXPECTED[bare]}" if bare in _EXPECTED else detail["msg"]


def _figures(context: dict[str, Any]) -> dict[str, Any]:
    """An error's context as it is written: whole numbers without a point, `s` for a plural."""
    length = context.get("min_length", context.get("max_length"))
    whole = {k: int(v) for k, v in context.items() if isinstance(v, float) and v.is_integer()}
    return context | whole | {"s": "" if length == 1 else "s"}


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
