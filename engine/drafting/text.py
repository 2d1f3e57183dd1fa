"""A config as text that people go on with: one key a line, comments above the keys."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

Path = tuple[str, ...]
WIDTH = 98
"""Columns of a line of comment; of flow style, before a mapping is written in lines."""


class _Dumper(yaml.SafeDumper):
    """Text that is more than one plain line stands in double quotes, so that it is one line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_of(data: Mapping[str, Any], notes: Mapping[Path, str], head: str = "") -> str:
    """`data` as YAML. notes: comments, by the path of the key above which they stand. head: a
    comment at the beginning."""
    lines = [*_comment(head, 0), *_lines(data, notes, ())]
    return "\n".join(lines) + "\n"


def _lines(data: Mapping[str, Any], notes: Mapping[Path, str], above: Path) -> Iterator[str]:
    indent = "  " * len(above)
    for key, value in data.items():
        path = (*above, key)
        yield from _comment(notes.get(path, ""), len(above))
        name = flow(key)
        line = f"{indent}{name}: {flow(value)}"
        within = any(p[: len(path)] == path and len(p) > len(path) for p in notes)
        if isinstance(value, Mapping) and value and (within or not above or len(line) > WIDTH):
            yield f"{indent}{name}:"
            yield from _lines(value, notes, path)
        else:
            yield line


def flow(value: Any) -> str:
    """A value in one line."""
    plain = dict(value) if isinstance(value, Mapping) else value
    text: str = yaml.dump(
        plain, Dumper=_Dumper, default_flow_style=True, width=1 << 30, allow_unicode=True,
        sort_keys=False,
    )  # fmt: skip
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(text: str, depth: int) -> Iterator[str]:
    indent = "  " * depth + "# "
    for line in text.split("\n") if text else ():
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        yield from textwrap.wrap(
            shown, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
