"""What pages say, held against the code: words, commands, keys, paths, names, links, answers."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib import import_module

import pytest
import typer
import yaml
from pages import MARKDOWN, PAGES, ROOT, code, text
from typer.main import get_group

import gapcast
from gapcast.engine.cli import app
from gapcast.engine.config import load_production, read_config
from gapcast.engine.config.model import Run
from gapcast.engine.config.reference import render
from gapcast.engine.config.screen import ScreenSection
from gapcast.engine.errors import ConfigError
from gapcast.engine.grid.screening import REASONS
from gapcast.engine.readings import READINGS
from gapcast.engine.registry import Kind
from gapcast.engine.sink import FORECASTS

RENDERED = "docs/config.md"
"""Written by the code: its words and names are the code's own."""
WRITTEN = [page for page in MARKDOWN if page != RENDERED]

# Words

AVOID = re.compile(
    r"\b(dark\w*|dead(?![-_\s]+letter)|kept|blind\w*|refus\w*|hidden"
    r"|nobody|is no one|believed\sagain)\b",
    re.I,
)
QUOTED = {"docs/services.md": {"Connection refused": "what the operating system says"}}
"""By page, text that is not ours, and why it is there."""


def avoided(page, quoted=()):
    """What stands around each word to avoid in a text."""
    for phrase in quoted:
        page = page.replace(phrase, "")
    return [page[max(0, found.start() - 30) : found.end() + 30] for found in AVOID.finditer(page)]


@pytest.mark.parametrize("page", [page for page in PAGES if page != RENDERED])
def test_pages_use_the_words_of_the_field(page):
    assert avoided(text(page), QUOTED.get(page, ())) == []


@pytest.mark.parametrize(
    "wrong", ["it goes dark", "a dead sensor", "kept as", "Blind", "refuses it", "hidden"]
)
def test_a_word_to_avoid_is_found(wrong):
    assert avoided(f"so {wrong}.")
    assert avoided("dead letters, a dead\nletter, dead_letters/, gapcast dead-letters, darn") == []


def test_what_is_quoted_is_there():
    assert all(phrase in text(page) for page, phrases in QUOTED.items() for phrase in phrases)


def test_code_is_found():
    page = "so `a\n b`:\n\n    c: 1\n      d\n\n```sh\ne `f`\n```\n- g\n    h `i`\n"
    assert code(page) == ([("", "c: 1\n  d"), ("sh", "e `f`")], ["a b", "i"])


# Commands

WORDS = r"[a-z][a-z-]*(?![\w./:-])(?: \| [a-z][a-z-]*)*"
COMMAND = re.compile(
    rf"(?<![\w/-])(?<!from )gapcast ({WORDS})(?: ({WORDS}))?((?:(?!gapcast )[^\n#])*)"
)


def commands():
    """Every command by its name, imported."""
    group = get_group(app)
    context = typer.Context(group)
    names = group.list_commands(context)
    return {name: group.resolve_command(context, [name])[1] for name in names}


COMMANDS = commands()


def called(page):
    """(command, command of a group or None, what follows) of every call in a text's code."""
    blocks, inline = code(page)
    for piece in [*(block for _, block in blocks), *inline]:
        for first, second, rest in COMMAND.findall(piece.replace("\\\n", " ")):
            for name in first.split(" | "):
                for below in second.split(" | "):
                    yield name, below or None, rest


def there(name, below, rest):
    """Whether there is such a command with such options."""
    command = COMMANDS.get(name)
    if hasattr(command, "commands") and below:
        command = command.commands.get(below)
    if command is None:
        return False
    options = {option for parameter in command.params for option in parameter.opts}
    return {*re.findall(r"(?<!\S)--[a-z-]+", rest)} <= options | {"--help"}


@pytest.mark.parametrize("page", MARKDOWN)
def test_commands_and_their_options_are_there(page):
    assert [call for call in called(text(page)) if not there(*call)] == []


@pytest.mark.parametrize(
    "wrong",
    ["`gapcast rum x`", "`gapcast run x --fast`", "    gapcast checkpoint list | shw RUN_DIR"],
)
def test_a_command_that_is_not_there_is_found(wrong):
    assert not all(there(*call) for call in called(wrong))


@pytest.mark.parametrize("page", ["README.md", "docs/design.md"])
def test_every_command_is_listed(page):
    listed = {name for name, *_ in called(text(page))} | {*code(text(page))[1]}
    assert COMMANDS.keys() - listed == set()


# Configs

SECTIONS = Run.model_fields.keys()
KEYS = {*re.findall(r"^\| `([^`]+)` \|", render(), re.M)}
PARTS = {part.removesuffix("[]") for key in KEYS for part in key.split(".")}
NO_KEYS = {*FORECASTS.names, *READINGS.names, *REASONS, "reason", "partition", "raw"}
"""Columns, and beginnings of reasons: what else is written ``word: ...``."""
BASE = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text()) | {"evaluation": {}}
DOTTED = re.compile(
    rf"`((?:{'|'.join(SECTIONS)})(?:\.(?!csv|json)[\w<>-]+)+)`|--set '?(?!key=)([\w.-]+)="
)


def fragments(page):
    """Parts of configs in a text's code, by section; a section that comes again begins another.
    What has types but no section is taken for models."""
    for block in [block for language, block in code(page)[0] if language in ("", "yaml")]:
        part: dict[str, object] = {}
        for chunk in re.split(r"\n(?=\S)", block):
            try:
                found = yaml.safe_load(chunk)
            except yaml.YAMLError:
                continue
            if not isinstance(found, dict):
                continue
            if not found.keys() <= SECTIONS:
                typed = all(isinstance(m, dict) and "type" in m for m in found.values())
                found = {"models": found} if typed else {}
            if found.keys() & part.keys():
                yield part
                part = {}
            part |= found
        if part:
            yield part


@pytest.mark.parametrize("page", [page for page in WRITTEN if [*fragments(text(page))]])
def test_configs_in_pages_are_right(page, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("KAFKA", "localhost:9092")
    for name in ("DB_PASSWORD", "TOKEN"):
        monkeypatch.setenv(name, "a-secret-of-a-page")
    for part in fragments(text(page)):
        shown = yaml.safe_dump(part)
        if "kafka-readings" in shown:
            (tmp_path / "produce.yaml").write_text(shown)
            load_production(tmp_path / "produce.yaml")
        elif "my_model" not in shown:  # a reader's own; tests/integration has that page
            read_config(BASE | part)


def test_a_config_that_is_wrong_is_found():
    (part,) = fragments("so:\n\n    # a comment\n    grid: {intervall: 1h}\n")
    with pytest.raises(ConfigError, match="intervall"):
        read_config(BASE | part)
    assert [*fragments("    blend:\n      type: blend\n")] == [
        {"models": {"blend": {"type": "blend"}}}
    ]


def test_the_page_on_backtests_shows_the_config_that_ships():
    shipped = yaml.safe_load((ROOT / "configs/backtest.yaml").read_text())
    (shown,) = fragments(text("docs/backtest.md"))
    assert shown == {key: shipped[key] for key in ("models", "backtest")}


def test_the_defaults_of_screening_are_those_shown():
    shown, more, off = (part["screen"] for part in fragments(text("docs/screening.md")))
    assert read_config(BASE | {"screen": shown}).screen == ScreenSection()
    assert read_config(BASE | {"screen": more}).screen == ScreenSection(outliers=True, drift="3h")
    assert read_config(BASE | {"screen": off}).screen != ScreenSection()


def is_key(key):
    """Whether a config may have this key; the plugin's own are looked for in those of all."""
    first, *below = key.split(".")
    if first in ("source", "backend"):
        return {*below} <= PARTS
    if first in ("models", "sinks", "limits", "derive"):  # sections by names of one's own
        return {*below[1:]} <= PARTS
    return key in KEYS or f"{key}[]" in KEYS


@pytest.mark.parametrize("page", WRITTEN)
def test_keys_of_configs_are_there(page):
    dotted = {a or b for a, b in DOTTED.findall(text(page))}
    assert {key for key in dotted if not is_key(key)} == set()
    words = {m[1] for piece in code(text(page))[1] if (m := re.match(r"([a-z_]+): ", piece))}
    assert words - PARTS - SECTIONS - NO_KEYS == set()


def test_a_wrong_key_is_found():
    found = [a or b for a, b in DOTTED.findall("`grid.intervall`, --set models.rls.lag=4, `a.b`")]
    assert found == ["grid.intervall", "models.rls.lag"]
    assert [is_key(key) for key in found] == [False, False]
    assert is_key("grid.interval")


# Paths, links, names

PATH = re.compile(
    r"\b(?:engine|plugins|backends|tests|bench|docs|docker|configs|data)/[\w./*-]*[\w/*]"
)
NOT_OURS = {
    "tests/test_conformance.py": "in a plugin author's package",
    "data/simulated/lab.txt": "made by the command that names it",
    "data/simulated": "made by gapcast data simulate",
    "data/intel-lab.txt": "fetched",
    "configs/x.yaml": "in an example of an error",
}


def missing_paths(page):
    """Paths in a text that lead nowhere; those with NAMES to fill in are left out."""
    found = {p for p in PATH.findall(page) if not re.search(r"[A-Z]{2,}(?!ME\.md)", p)}
    return {p for p in found - NOT_OURS.keys() if not [*ROOT.glob(p.rstrip("/"))]}


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_are_there(page):
    assert missing_paths(text(page)) == set()


def broken_links(page, folder):
    """Links of a text to files or headings that are not there."""
    for target, _, anchor in re.findall(r"\]\((?!http)([^)#]*)(#([^)]*))?\)", page):
        file = folder / target
        there = page if not target else file.read_text() if anchor and file.exists() else ""
        heads = re.findall(r"^#+ (.*)", there, re.M)
        anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        if not file.exists() or (anchor and anchor not in anchors):
            yield f"{target}#{anchor}"


@pytest.mark.parametrize("page", MARKDOWN)
def test_links_lead_somewhere(page):
    assert [*broken_links(text(page), (ROOT / page).parent)] == []


def importable(dotted):
    """Whether a name can be imported, perhaps as an attribute after a dot or colon."""
    parts = dotted.replace(":", ".").split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = getattr(found, name, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_pages_name_can_be_imported(page):
    named = re.findall(r"\bgapcast\.(?:engine|plugins|backends)(?:\.\w+)*(?::\w+)?", text(page))
    assert {name for name in named if not importable(name)} == set()
    for names in re.findall(r"from gapcast import (\w+(?:, \w+)*)", text(page)):
        assert {*names.split(", ")} <= {*gapcast.__all__}


def test_paths_links_and_modules_that_are_not_there_are_found():
    assert missing_paths("see engine/carry.py and engine/run/loop.py") == {"engine/carry.py"}
    links = "# A b\n[](#a-b) [](#c) [](README.md) [](READYOU.md) [](README.md#no)"
    assert [*broken_links(links, ROOT)] == ["#c", "READYOU.md#", "README.md#no"]
    assert not importable("gapcast.engine.through")
    assert not importable("gapcast.engine.sink.Sinc")


@cache
def classes():
    """Every class of ours, with the names of what is defined or assigned in it."""
    found: dict[str, set[str]] = {}
    for folder in ("engine", "backends", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    inside = {name for below in ast.walk(node) for name in defined(below)}
                    found.setdefault(node.name, set()).update(inside)
    return found


def defined(node):
    """Names that a statement defines or assigns."""
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign):
        yield getattr(node.target, "id", "")


@pytest.mark.parametrize("page", WRITTEN)
def test_attributes_that_pages_name_are_there(page):
    named = {*re.findall(r"`([A-Z]\w+)\.(?!java)([a-z]\w+)(?:\([^`]*\))?`", text(page))}
    assert {f"{c}.{a}" for c, a in named if a not in classes().get(c, ())} == set()


def test_the_design_names_classes_that_there_are():
    named = {*re.findall(r"`(_?[A-Z][a-z]+(?:[A-Z][a-z]+)*)`", text("docs/design.md"))}
    assert named - classes().keys() - {"State"} == set()
    assert len(named) > 20


# Contracts and answers

CONTRACTS = re.findall(
    r"^\| `(\w+)` \| `(engine/\w+\.py)` \| (.*) \|$", text("docs/design.md"), re.M
)


@pytest.mark.parametrize(("contract", "file", "listed"), CONTRACTS)
def test_the_design_lists_what_the_engine_calls(contract, file, listed):
    tree = ast.parse((ROOT / file).read_text())
    (node,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == contract]
    methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"}
    assert {*re.findall(r"`(\w+)`", listed)} == methods


def test_the_design_lists_every_contract():
    assert {kind.contract().__name__ for kind in Kind} == {name for name, *_ in CONTRACTS}


QUESTIONS = re.findall(r"^\| ([^|]*\?) \| `([^`]+)` \| (.*) \|$", text("CONTRIBUTING.md"), re.M)


def test_ten_questions_are_answered():
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize(("question", "file", "where"), QUESTIONS, ids=[q[0] for q in QUESTIONS])
def test_an_answer_names_what_is_in_its_file(question, file, where):
    path, name = ROOT / file, re.match(r"`(\w+)`", where)
    assert path.exists()
    if name:
        assert re.search(rf"^(?:def|class) {name[1]}\b", path.read_text(), re.M)
