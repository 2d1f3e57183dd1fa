"""The pages of the project as the tests read them: what they say, and the code within."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed(cell):
    """Lines that a cell of a notebook has printed or shown."""
    for output in cell.get("outputs", ()):
        yield from output.get("text", ())
        yield from output.get("data", {}).get("text/plain", ())


@cache
def text(name):
    """A page as its readers see it: Markdown, cells of a notebook, comments of other files."""
    path = ROOT / name
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        return "".join(part for c in cells for part in [*c["source"], "\n", *printed(c), "\n"])
    if path.suffix == ".yaml":
        return "\n".join(re.findall(r"#.*", path.read_text()))
    if path.name == "Makefile":
        return "\n".join(re.findall(r"##.*", path.read_text()))
    return path.read_text()


def names(pattern):
    """Paths of files that match, from the project's folder on."""
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(pattern))]


CONFIGS = names("configs/*.yaml")
MARKDOWN = [*names("*.md"), *names("docs/*.md"), *names("[bd]*/README.md")]
PAGES = [*MARKDOWN, *names("docs/*.ipynb"), *CONFIGS, "Makefile"]


def code(page):
    """Blocks of code in a text, each with its language, and pieces of code in its sentences."""
    blocks: list[tuple[str, list[str]]] = []
    prose, fenced, above = [], False, ""
    for line in page.splitlines():
        after_prose = above.strip() and not above.startswith("    ")
        if line.startswith("```"):
            fenced = not fenced
            blocks += [(line[3:], [])] if fenced else []
        elif fenced:
            blocks[-1][1].append(line)
        elif line.startswith("    ") and not after_prose:
            blocks += [] if above.startswith("    ") else [("", [])]
            blocks[-1][1].append(line[4:])
        else:
            prose.append(line)
        above = line
    inline = [" ".join(piece.split()) for piece in re.findall(r"`([^`]+)`", "\n".join(prose))]
    return [(language, "\n".join(lines)) for language, lines in blocks], inline


def cells(line):
    """The cells of a row of a table, without the marks of code."""
    return [cell.strip(" `") for cell in line.strip().strip("|").split("|")]


def rows(page, start=""):
    """The cells of all rows of tables in a text that begin so, headers among them."""
    return [cells(line) for line in page.splitlines() if line.startswith(f"| {start}")]
