"""Numbers that pages state, held against results and code.

A figure that several pages quote comes from a JSON file in ``bench/results/``. A page marks it in
one of two ways, both invisible where Markdown is rendered:

* ``0.203<!-- accuracy: day 3, unscreened, spatial, mse -->``: the number before the comment is
  that of ``accuracy.json``, in the row that has the values ``day 3``, ``unscreened`` and
  ``spatial``, under ``mse``, to as many digits as are shown;
* ``<!-- figures accuracy: day 3, screened -->`` before a table: the same for the first number of
  each cell, whose row label and column header are added to the list.
"""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest
import yaml
from pages import CONFIGS, MARKDOWN, ROOT, cells, rows, text

from gapcast.engine.checkpoint.format import PART
from gapcast.engine.cli.run import MOST_REPORTED
from gapcast.engine.config import load_config
from gapcast.engine.config.model import Checkpoint
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.grid.counts import Counts
from gapcast.engine.grid.kernels.judging import CONFIRM
from gapcast.engine.grid.kernels.screening import NEIGHBOURS
from gapcast.engine.grid.spec import AHEAD
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.registry import Kind, Registry
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.sink import FORECASTS, STATUSES

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
ORDINALS = ["", "first", "second", "third", "fourth", "fifth", "sixth"]
DEMO = [*load_config(ROOT / "configs/quickstart.yaml").models]
THIRD = ["day 3", "screened"]

# Figures of bench/results

MARK = re.compile(r"(-?[\d,]*\.?\d+)<!-- (\w+): ([^>]*) -->")
TABLE = re.compile(r"^<!-- figures (\w+): ([^>]*) -->\n((?:\|.*\n)+)", re.M)


@cache
def results(file):
    return json.loads((ROOT / f"bench/results/{file}.json").read_text())["rows"]


def stored(file, names):
    """The value of a results file whose row and column have these names."""
    columns = {key for row in results(file) for key in row}
    (column,) = columns & {name.lower() for name in names}
    wanted = {name for name in names if name.lower() != column}
    found = [row for row in results(file) if column in row and wanted <= {*map(str, row.values())}]
    (row,) = found
    return row[column]


def same(shown, value):
    """Whether a number is the one stored, to as many digits as it shows."""
    shown = shown.replace(",", "")
    return float(shown) == float(f"{value:.{len(shown.partition('.')[2])}f}")


def figures(page):
    """(number shown, file, names) of every figure that a text marks."""
    for shown, file, names in MARK.findall(page):
        yield shown, file, names.split(", ")
    for file, names, table in TABLE.findall(page):
        head, _, *below = map(cells, table.splitlines())
        for label, *values in below:
            for column, cell in zip(head[1:], values, strict=True):
                shown = re.match(r"-?[\d.,]+", cell)[0]
                yield shown, file, [*names.split(", "), label, column]


@pytest.mark.parametrize("page", MARKDOWN)
def test_marked_figures_are_those_of_the_results(page):
    marked = [*figures(text(page))]
    assert [mark for mark in marked if not same(mark[0], stored(*mark[1:]))] == []
    marks = len(MARK.findall(text(page))) + len(TABLE.findall(text(page)))
    assert text(page).count("<!-- accuracy") + text(page).count("<!-- figures") == marks


def test_a_wrong_figure_is_found_and_pages_do_mark_some():
    ((shown, *where),) = figures("0.99<!-- accuracy: day 3, screened, ema, mse -->")
    assert not same(shown, stored(*where))
    table = (
        "<!-- figures accuracy: day 3, screened -->\n| model | MSE |\n|---|---|\n| ema | 8.71 |\n"
    )
    ((shown, *where),) = figures(table)
    assert same(shown, stored(*where))
    assert sum(len([*figures(text(page))]) for page in MARKDOWN) > 100


def test_the_notebook_shows_the_figures_of_the_results():
    shown = re.findall(r"^(\S+) +(\S+) °C².*holds (\S+)$", text("docs/quickstart.ipynb"), re.M)
    mse = {model: stored("accuracy", [*THIRD, model, "mse"]) for model in DEMO}
    assert [model for model, *_ in shown] == sorted(DEMO, key=lambda model: mse[model])
    for model, error, coverage in shown:
        assert same(error, mse[model])
        assert same(coverage, stored("accuracy", [*THIRD, model, "coverage"]))


# The demo, and other configs that ship


@pytest.mark.parametrize("page", ["README.md", "Makefile"])
def test_pages_count_the_models_of_the_demo(page):
    assert re.findall(r"\b(\w+) models\sforecast", text(page)) == [NUMBERS[len(DEMO)]]


def test_the_table_of_the_demo_names_its_models():
    ((_, names, table),) = TABLE.findall(text("README.md"))
    assert names.split(", ") == THIRD
    assert [cells(line)[0] for line in table.splitlines()[2:]] == DEMO


@pytest.mark.parametrize("config", CONFIGS)
def test_configs_count_their_own_models(config):
    for number in re.findall(rf"\b({'|'.join(NUMBERS)}) models\b", text(config), re.I):
        assert NUMBERS.index(number.lower()) == len(
            yaml.safe_load((ROOT / config).read_text())["models"]
        )


# Columns, counts, models


def test_columns_of_forecasts_are_listed():
    listed = re.search(r"^\*\*Forecasts\*\*(.*?)\n\n", text("docs/design.md"), re.M | re.S)[1]
    assert re.findall(r"`(\w+)[:`]", listed) == FORECASTS.names
    tree = re.search(r"part-\.\.\.\.parquet(.*?)scores", text("docs/guide.md"), re.S)[1]
    assert re.findall(r"\w+", tree) == FORECASTS.names


@pytest.mark.parametrize("page", ["docs/design.md", "docs/guide.md"])
def test_statuses_are_listed(page):
    (listed,) = re.findall(r"status`? is (`observed`.*?)\.", text(page), re.S)
    shown = re.findall(r"`(\w+)`", listed)
    assert tuple(shown) == STATUSES


def test_counts_are_listed():
    after = (
        text("docs/guide.md").partition("| count | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    )
    shown = ["read", *(row[0] for row in rows(after))]
    assert [*Counts.__dataclass_fields__] == shown


FORECASTERS = {
    entry.name: entry.load()
    for entry in Registry.installed().entries
    if (entry.kind, entry.package) == (Kind.FORECASTER, "gapcast")
}
LIBRARIES = {"river", "padasip", "sklearn"}
HORIZONS = {(0, 0): "0", (0, 1000): "0 to 1000", (0, 1_000_000): "any"}


@pytest.mark.parametrize("page", ["docs/models.md", "docs/guide.md"])
def test_tables_of_models_have_every_forecaster_and_its_horizons(page):
    told = {
        name: row[2]
        for row in rows(text(page), "`")
        for name in re.split("`, `", row[0])
        if name in FORECASTERS
    }
    assert told == {name: HORIZONS[cls.horizons] for name, cls in FORECASTERS.items()}


@pytest.mark.parametrize("name", sorted(FORECASTERS.keys() - LIBRARIES))
def test_the_page_of_models_says_how_great_states_are(name):
    ((*_, shown),) = rows(text("docs/models.md"), f"`{name}`")
    number, unit = shown.split()
    forecaster = FORECASTERS[name](FORECASTERS[name].Params())
    network = Network.of([Series(str(i), "t") for i in range(50)])
    layout = lay_out(network, network.series, Model("m", forecaster), 1_800_000_000)
    size = sum(array.nbytes for array in forecaster.start(layout).values()) / 50
    assert float(number) * {"B": 1, "kB": 1000}[unit] == pytest.approx(size, rel=0.04)


@pytest.mark.parametrize("page", ["docs/models.md", "docs/derived.md"])
def test_models_that_derive_by_default_are_named(page):
    pattern = r"(?:default of\s|prefer it \()(`[a-z-]+`(?:(?:,|\sand)\s`[a-z-]+`)*)"
    (named,) = re.findall(pattern, text(page))
    derive = {name for name, cls in FORECASTERS.items() if cls.derives}
    assert {*re.findall(r"`([a-z-]+)`", named)} == derive


# Single facts


def share_of_tests():
    return re.search(r">= ([\d.]+) \* code", (ROOT / "tests/unit/test_rules.py").read_text())[1]


def container_limits():
    """GiB and cores of all services, then of those that run only when they are asked for."""
    found = {False: np.zeros(2), True: np.zeros(2)}
    for path in (ROOT / "docker").glob("*/compose.yaml"):
        for service in yaml.safe_load(path.read_text())["services"].values():
            limits = service["deploy"]["resources"]["limits"]
            gib = float(limits["memory"][:-1]) / {"g": 1, "m": 1024}[limits["memory"][-1]]
            found["profiles" in service] += gib, float(limits["cpus"])
    return tuple(f"{n:g}" for n in (*found[False], *found[True]))


@pytest.mark.parametrize(
    ("page", "pattern", "value"),
    [
        ("docs/backends.md", r"the (\w+) loss in a row", ORDINALS[Bounds().losses + 1]),
        ("docs/design.md", r"losses in a row \((\d+)\)", str(Bounds().losses)),
        ("docs/design.md", r"at least ([\d.]+) times the statements", share_of_tests()),
        ("docs/design.md", r"in parts of (\d+) MiB", str(PART >> 20)),
        ("docs/design.md", r"held\s+until\s+(\w+)\s+records\s+agree", NUMBERS[CONFIRM]),
        ("docs/design.md", r"more\s+than\s+(\d+)\s+steps\s+ahead", str(AHEAD)),
        ("docs/screening.md", r"Neighbours are (\w+) sensors", NUMBERS[NEIGHBOURS]),
        ("docs/guide.md", r"more than (\d+) million forecasts", str(MOST_REPORTED // 10**6)),
        ("docs/guide.md", r"`checkpoint.keep` \((\d+)\)", str(Checkpoint().keep)),
        ("docs/guide.md", r"`checkpoint.interval` \((\d+) s", str(Checkpoint().interval // 10**6)),
        ("docker/README.md", r"are (\d+) GiB and (\d+) cores, and (\d+) GiB and (\d+) cores",
         container_limits()),
    ],
)  # fmt: skip
def test_facts_are_those_of_the_code(page, pattern, value):
    assert re.findall(pattern, text(page)) == [value]


def test_the_page_of_benchmarks_says_which_ones_make_runs():
    (sentence,) = re.findall(r"installs the peers and runs (.*?);", text("bench/README.md"), re.S)
    (loop,) = re.findall(r"for b in (.*?);", (ROOT / "Makefile").read_text())
    assert re.findall(r"`(\w+)`", sentence) == loop.split()


def test_every_benchmark_has_a_section():
    saving = {p.name for p in (ROOT / "bench").glob("*.py") if "machine.save(" in p.read_text()}
    assert {n for n in saving if f"`python bench/{n}" not in text("bench/README.md")} == set()


def test_results_that_are_tracked_are_quoted():
    tracked = re.findall(r"^!bench/results/(\w+)\.json$", (ROOT / ".gitignore").read_text(), re.M)
    assert {*tracked} == {file for page in MARKDOWN for _, file, _ in figures(text(page))}
