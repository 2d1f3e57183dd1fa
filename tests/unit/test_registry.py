"""The registry, against real entry points of packages laid down on a temporary path."""

from __future__ import annotations

import subprocess
import sys

import pytest
from packages import ACME, install, install_acme

from gapcast.engine.errors import AmbiguousPlugin, BrokenPlugin, UnknownPlugin
from gapcast.engine.registry import Kind, Registry
from gapcast.engine.sink import Sink


def rejected(error, kind, name):
    with pytest.raises(error) as caught:
        Registry.installed().load(kind, name)
    return str(caught.value)


def test_a_name_leads_to_its_class_and_package(site):
    install_acme(site)
    entry = Registry.installed().find(Kind.SINK, "null")
    assert (entry.package, entry.version, entry.target) == (
        "acme-plugins", "1.2", "acme_plugins:Null",
    )  # fmt: skip
    loaded = entry.load()
    assert issubclass(loaded, Sink)
    assert loaded.__name__ == "Null"


def test_nothing_is_imported_before_it_is_asked_for(site):
    install_acme(site)
    registry = Registry.installed()
    assert "acme_plugins" not in sys.modules
    registry.find(Kind.SOURCE, "http")
    assert "acme_plugins" not in sys.modules
    registry.load(Kind.SOURCE, "http")
    assert "acme_plugins" in sys.modules


def test_importing_the_registry_imports_neither_plugins_nor_heavy_modules():
    code = (
        "import sys, gapcast.engine, gapcast.engine.registry as r; r.Registry.installed();"
        "heavy = {'numba', 'numpy', 'pyarrow', 'pyspark', 'gapcast.plugins', 'gapcast.backends'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_built_ins_are_registered_as_anyone_s():
    names = {(e.kind, e.name) for e in Registry.installed().entries if e.package == "gapcast"}
    assert (Kind.SINK, "files") in names
    assert (Kind.BACKEND, "local") in names
    assert (Kind.FORECASTER, "persistence") in names


def test_an_unknown_name_answers_with_the_nearest_and_all_known(site):
    install_acme(site)
    message = rejected(UnknownPlugin, Kind.SINK, "tsbd")
    assert message.startswith("unknown sink 'tsbd'; did you mean 'tsdb'? known: ")
    assert "null, tsdb (acme-plugins 1.2)" in message
    assert "files" in message
    assert "http" not in message


def test_an_unknown_name_like_no_other_still_lists_what_there_is():
    message = rejected(UnknownPlugin, Kind.BACKEND, "zzz")
    assert message.startswith("unknown backend 'zzz'; known: ")
    assert "local" in message


def test_a_name_claimed_twice_is_rejected_until_the_package_is_named(site):
    install_acme(site)
    install(site, "Other_Files", "0.3", {"gapcast.sinks": {"tsdb": "other:Tsdb"}}, {"other": ACME})
    message = rejected(AmbiguousPlugin, Kind.SINK, "tsdb")
    assert message == (
        "sink 'tsdb' is claimed by Other_Files 0.3 and acme-plugins 1.2; "
        "write Other_Files:tsdb or acme-plugins:tsdb"
    )
    registry = Registry.installed()
    assert registry.load(Kind.SINK, "acme-plugins:tsdb").__module__ == "acme_plugins"
    assert registry.load(Kind.SINK, "other-files:tsdb").__module__ == "other"


def test_a_built_in_is_never_taken_over_in_silence(site):
    install(site, "taker", "1.0", {"gapcast.sinks": {"files": "taker:Null"}}, {"taker": ACME})
    assert "gapcast:files" in rejected(AmbiguousPlugin, Kind.SINK, "files")
    assert Registry.installed().find(Kind.SINK, "gapcast:files").package == "gapcast"


def test_a_class_can_be_named_by_its_module(site):
    (site / "mine.py").write_text(ACME)
    entry = Registry.installed().find(Kind.SINK, "mine:Null")
    assert entry.package == ""
    assert entry.load().__module__ == "mine"


def test_before_the_colon_a_package_that_registered_the_name_wins_over_a_module(site):
    install(site, "both", "1.0", {"gapcast.sinks": {"Null": "elsewhere:Null"}}, {"both": ACME})
    (site / "elsewhere.py").write_text(ACME)
    registry = Registry.installed()
    assert registry.load(Kind.SINK, "both:Null").__module__ == "elsewhere"
    assert registry.load(Kind.SINK, "both:Tsdb").__module__ == "both"


def test_neither_package_nor_module(site):
    message = rejected(UnknownPlugin, Kind.SINK, "nowhere.deep:Null")
    assert message == "unknown sink 'nowhere.deep:Null': no package or module 'nowhere.deep' here"
    install_acme(site)
    assert "did you mean 'null'?" in rejected(UnknownPlugin, Kind.SINK, "acme-plugins:nul")


BROKEN = {
    "absent": (None, "ModuleNotFoundError: No module named 'absent'"),
    "needs": ("import surely_missing", "No module named 'surely_missing'"),
    "bug": ("1 / 0", "ZeroDivisionError: division by zero"),
    "leaves": ("raise SystemExit(3)", "SystemExit: 3"),
    "typo": ("x = (", "SyntaxError"),
    "nameless": ("", "has no attribute 'Null'"),
    "function": ("def Null(): ...", "it does not extend gapcast.engine.sink.Sink"),
    "stranger": ("class Null: ...", "it does not extend gapcast.engine.sink.Sink"),
    "partly": (
        "from gapcast.engine.sink import Sink\nclass Null(Sink):\n def open(self, j, g): ...",
        "it does not define write",
    ),
    "loose": (ACME + "\nNull.Params = dict", "its Params does not extend"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_names_package_version_and_cause(site, name):
    source, cause = BROKEN[name]
    modules = {} if source is None else {name: source}
    install(site, "crumbling", "9.9", {"gapcast.sinks": {"crumb": f"{name}:Null"}}, modules)
    message = rejected(BrokenPlugin, Kind.SINK, "crumb")
    prefix = f"sink 'crumb' (crumbling 9.9, {name}:Null) cannot be loaded: "
    assert message.startswith(prefix)
    assert cause in message
    assert "\n" not in message


def test_a_broken_plugin_harms_no_other(site):
    install_acme(site)
    install(site, "crumbling", "9.9", {"gapcast.sinks": {"crumb": "bug:X"}}, {"bug": "1 / 0"})
    registry = Registry.installed()
    assert registry.load(Kind.SINK, "null").__name__ == "Null"
    states = {p.entry.name: p for p in registry.plugins() if p.entry.kind is Kind.SINK}
    assert states["crumb"].state == "broken"
    assert "ZeroDivisionError" in states["crumb"].cause
    assert states["null"].state == states["files"].state == "ok"


def test_a_missing_extra_says_what_to_install(site):
    install(
        site, "crumbling", "9.9", {"gapcast.sources": {"mq": "mq:Mq"}}, {"mq": "import queue_9"},
        requires=("numpy", 'Queue.9>=2 ; extra == "mq"', 'crumbling[mq] ; extra == "all"'),
        extras=("all", "mq"),
    )  # fmt: skip
    message = rejected(BrokenPlugin, Kind.SOURCE, "mq")
    assert message.endswith("No module named 'queue_9'; pip install 'crumbling[mq]'")


def test_a_clash_is_listed_with_the_way_out(site):
    install_acme(site)
    install(site, "other", "0.3", {"gapcast.sinks": {"tsdb": "other:Tsdb"}}, {"other": ACME})
    listed = [p for p in Registry.installed().plugins() if p.entry.name == "tsdb"]
    assert [(p.state, p.cause) for p in listed] == [
        ("clash", "write acme-plugins:tsdb"),
        ("clash", "write other:tsdb"),
    ]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_its_contract_which_plugin_authors_import_by_its_name(kind):
    contract = kind.contract()
    assert f"{contract.__module__}.{contract.__name__}" == f"gapcast.engine.{kind}.{kind.title()}"


def test_kinds_do_not_mix(site):
    install_acme(site)
    assert "unknown source 'null'" in rejected(UnknownPlugin, Kind.SOURCE, "null")
    assert "does not extend gapcast.engine.source.Source" in rejected(
        BrokenPlugin, Kind.SOURCE, "acme_plugins:Null"
    )


def test_entries_come_in_a_fixed_order(site):
    install_acme(site)
    registry = Registry.installed()
    again = Registry(reversed(registry.entries))
    assert registry.entries == again.entries
    assert registry.entries[0].kind is Kind.SOURCE
