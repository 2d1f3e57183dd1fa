"""A config as it is written: plain data, and where each piece of it stands.

Read as PyYAML's safe loader would, with four differences. The same key twice is a mistake, not a
silent choice. Keys are text, just as written. A date or time becomes an aware datetime in UTC.
Numbers and truth values follow YAML 1.2, as editors do: ``1e-3`` is a number, while ``010``,
``1:30``, ``yes`` and ``off`` are text, so that sensors may be called so.

ruamel.yaml, which remembers lines and columns too, was tried in the place of this reader. It
forgets what is needed here (the text of a key or number as written, the places of keys that ``<<``
brings), stops at the first mistake, and lets unknown tags and an alias within itself pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import yaml
from yaml.constructor import ConstructorError

KeyPath = tuple[str | int, ...]
"""Keys of mappings (text) and indices of lists (int) from the top of a config."""

_TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
}
MOST_KEYS = 100_000
"""A config that holds more, with its aliases written out, is rejected."""


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands: ``file:line:column`` or ``--set key``; sorts in reading order."""

    source: int
    line: int
    column: int
    where: str = field(compare=False)
    text: str = field(default="", compare=False)
    """What is written there, if it is one word or number: placeholders as placeholders."""


@dataclass(frozen=True)
class Mistake:
    """Something wrong with the config, at a key and a place."""

    path: KeyPath
    place: Place
    message: str


@dataclass
class Written:
    """Plain data (dict, list, str, int, float, bool, None, datetime) with places by key path."""

    data: Any
    places: dict[KeyPath, Place]
    mistakes: list[Mistake] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """Where `path` stands; for what is not there, where its nearest parent stands."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def show(path: KeyPath) -> str:
    """``("spans", 0, "from")`` as ``spans[0].from``."""
    shown = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in path)
    return shown.removeprefix(".")


def parse(text: str, name: str, source: int = 0, where: str | None = None) -> Written:
    """Read YAML. Mistakes of syntax are in the result, never raised.

    name: the file's name, for places ``name:line:column``. where: one place for everything
    instead. source: orders places of several texts.
    """
    return _Reader(name, source, where).read(text)


def hold(data: Any, where: str) -> Written:
    """Plain data that was never a file, as `Written`: everything stands at `where`."""
    written = Written(None, {(): Place(0, 1, 1, where)})

    def visit(value: Any, path: KeyPath) -> Any:
        if isinstance(value, Mapping):
            return {str(k): visit(v, (*path, str(k))) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [visit(v, (*path, i)) for i, v in enumerate(value)]
        written.places[path] = Place(0, 1, 1, where, str(value))
        return value

    written.data = visit(data, ())
    return written


class _Loader(yaml.SafeLoader):
    """Safe loader that resolves plain words as YAML 1.2 does and remembers repeated keys."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the class attribute that PyYAML looks for

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: dict[int, yaml.Node] = {}
        """By identity of a key that stands twice in its mapping: the first one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[Any, yaml.Node] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                first = seen.setdefault(key.value, key)
                if first is not key:
                    self.repeated[id(key)] = first
        return node


def _resolvers() -> None:
    kept = {"merge", "null", "timestamp"}
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
        for tag, pattern in resolvers:
            if tag.rpartition(":")[2] in kept:
                _Loader.yaml_implicit_resolvers.setdefault(first, []).append((tag, pattern))
    for kind, pattern, starts in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
        (
            "float",
            r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
            r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
            "-+.0123456789",
        ),
    ):
        tag = f"tag:yaml.org,2002:{kind}"
        _Loader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), list(starts))


_resolvers()


def _in_utc(moment: date) -> datetime:
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _Reader:
    """Turns composed nodes into data and places, collecting mistakes as it goes."""

    def __init__(self, name: str, source: int, where: str | None) -> None:
        self.name, self.source, self.where = name, source, where
        self.written = Written(None, {(): self.at(None)})

    def at(self, mark: Any, text: str = "") -> Place:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        where = self.where or f"{self.name}:{line}:{column}"
        return Place(self.source, line, column, where, text)

    def wrong(self, message: str, mark: Any, path: KeyPath = ()) -> None:
        self.written.mistakes.append(Mistake(path, self.at(mark), message))

    def read(self, text: str) -> Written:
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self.written.data = self.item(loader, node, node, ()) if node else None
        except yaml.MarkedYAMLError as error:
            self.wrong(f"not valid YAML: {error.problem}", error.problem_mark)
        except yaml.reader.ReaderError as error:
            before = text[: error.position].split("\n")
            mark = yaml.Mark("", 0, len(before) - 1, len(before[-1]), None, 0)
            self.wrong(f"not valid YAML: {error.reason}", mark)
        except RecursionError:
            self.wrong("nested too deeply, or an alias that contains itself", None)
        return self.written

    def build(self, loader: _Loader, node: yaml.Node, path: KeyPath) -> Any:
        if len(self.written.places) > MOST_KEYS:
            raise ConstructorError(
                problem="too large with its aliases written out", problem_mark=node.start_mark
            )
        if node.tag not in _TAGS:
            self.wrong(f"{node.tag!r} has no meaning here", node.start_mark, path)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(loader, node, path)
        if isinstance(node, yaml.MappingNode):
            return {
                key.value: self.item(loader, key, value, (*path, key.value))
                for key, value in self.entries(loader, node, path)
            }
        return [self.item(loader, n, n, (*path, i)) for i, n in enumerate(node.value)]

    def item(self, loader: _Loader, key: yaml.Node, value: yaml.Node, path: KeyPath) -> Any:
        text = value.value if isinstance(value, yaml.ScalarNode) else ""
        self.written.places[path] = self.at(key.start_mark, text)
        return self.build(loader, value, path)

    def entries(
        self, loader: _Loader, node: yaml.MappingNode, path: KeyPath
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """The pairs of a mapping, each key once, ``<<`` written out."""
        loader.flatten_mapping(node)
        pairs: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong("a key must be one word", key.start_mark, path)
                continue
            if first := loader.repeated.pop(id(key), None):
                message = f"the same key stands on line {first.start_mark.line + 1}"
                self.wrong(message, key.start_mark, (*path, key.value))
            pairs[key.value] = (key, value)
        yield from pairs.values()

    def scalar(self, loader: _Loader, node: yaml.ScalarNode, path: KeyPath) -> Any:
        try:
            value = loader.construct_object(node)
            if isinstance(value, date):
                return _in_utc(value)
        except (ValueError, OverflowError) as error:
            self.wrong(f"{node.value!r} is not valid: {error}", node.start_mark, path)
            return None
        return value
