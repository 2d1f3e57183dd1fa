"""``--set key=value``: changes to a config made on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gapcast.engine.config.positions import KeyPath, Mistake, Place, Written, parse, show


def override(written: Written, settings: Iterable[str]) -> None:
    """Change `written` by each ``a.b=value`` in turn; the value is YAML.

    Sections on the way are made where there are none; a number is a place in a list. What
    cannot be set becomes a mistake of `written`, placed at ``--set a.b``.
    """
    for number, setting in enumerate(settings, 1):
        name, equals, text = setting.partition("=")
        where = f"--set {name}"
        if not equals or not all(name.split(".")):
            place = Place(number, 1, 1, f"--set {setting}")
            written.mistakes.append(Mistake((), place, "must read key=value"))
            continue
        value = parse(text, name, source=number, where=where)
        written.mistakes.extend(value.mistakes)
        if not value.mistakes:
            _put(written, name.split("."), value)


def _put(written: Written, names: list[str], value: Written) -> None:
    place = value.places[()]
    if written.data is None:
        written.data = {}
    holder: Any = written.data
    path: KeyPath = ()
    for name in names[:-1]:
        key = _key(holder, name)
        inside = _get(holder, key)
        if inside is None and isinstance(holder, dict):
            inside = holder[name] = {}
            written.places.setdefault((*path, key), place)
        holder, path = inside, (*path, key)
    key = _key(holder, names[-1])
    if isinstance(holder, dict) or _get(holder, key) is not None:
        holder[key] = value.data
        _replace(written.places, (*path, key), value)
    else:
        message = f"{show(path) or 'the config'} has no such key or item to set"
        written.mistakes.append(Mistake((), place, message))


def _key(holder: Any, name: str) -> str | int:
    return int(name) if isinstance(holder, list) and name.isdecimal() else name


def _get(holder: Any, key: str | int) -> Any:
    if isinstance(holder, dict):
        return holder.get(key)
    if isinstance(holder, list) and isinstance(key, int) and key < len(holder):
        return holder[key]
    return None


def _replace(places: dict[KeyPath, Place], path: KeyPath, value: Written) -> None:
    for old in [p for p in places if p[: len(path)] == path]:
        del places[old]
    for below, place in value.places.items():
        places[(*path, *below)] = place
