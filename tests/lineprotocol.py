"""A parser of InfluxDB's line protocol, character by character, as its specification has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A line: floats as floats, numbers with an i as integers, text as text."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int | str]
    time: int


class Text:
    """What is left to read."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def next(self) -> str:
        """The next character."""
        self.at += 1
        return self.text[self.at - 1]

    def name(self, ends: str) -> tuple[str, str]:
        """A name and the character that ends it. A backslash before comma, equals sign or space
        takes their meaning away; before anything else it is itself."""
        found = ""
        while (c := self.next()) not in ends:
            assert c != "\n", "a line ends within a name"
            if c == "\\" and self.text[self.at] in ",= ":
                c = self.next()
            found += c
        assert found, "an empty name"
        return found, c

    def value(self) -> tuple[float | int | str, str]:
        """The value of a field and the character that ends it."""
        if self.text[self.at] == '"':
            return self.quoted(), self.next()
        word, end = self.name(", ")
        return (int(word[:-1]) if word.endswith("i") else float(word)), end

    def quoted(self) -> str:
        """A text in quotes, in which backslashes precede quotes and backslashes."""
        self.next()
        found = ""
        while (c := self.next()) != '"':
            found += self.next() if c == "\\" and self.text[self.at] in '"\\' else c
        return found


def parse(text: str) -> list[Point]:
    """The points of some lines, each of which ends with a line break."""
    left, points = Text(text), []
    while left.at < len(text):
        measurement, end = left.name(", ")
        tags: dict[str, str] = {}
        while end == ",":
            key, _ = left.name("=")
            tags[key], end = left.name(", ")
        fields: dict[str, float | int | str] = {}
        end = ","
        while end == ",":
            key, _ = left.name("=")
            fields[key], end = left.value()
        digits = ""
        while (c := left.next()) != "\n":
            digits += c
        points.append(Point(measurement, tags, fields, int(digits)))
    return points
