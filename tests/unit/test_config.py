"""Configs as a whole: what is read, how it is written back, what stays secret, the schema."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from packages import install_acme
from pydantic import BaseModel, TypeAdapter

from gapcast.engine.config import (
    Neighbours,
    load_config,
    load_production,
    model,
    read_config,
    redact,
    schema,
)
from gapcast.engine.config.positions import parse
from gapcast.engine.config.reference import render
from gapcast.engine.config.schema import schema_of
from gapcast.engine.errors import ConfigError
from gapcast.engine.redaction import mask
from gapcast.engine.registry import Registry
from gapcast.engine.sink import Receives

ROOT = Path(__file__).parents[2]
MINUTE = 60_000_000
LEAST = {
    "name": "least",
    "source": {"type": "http", "url": "http://here"},
    "grid": {"interval": "30min"},
    "targets": {"quantities": ["temperature"]},
    "models": {"m": {"type": "level"}},
}
FULL = """\
name: full-1
source: {type: acme-plugins:http, url: u, port: 81, format: parquet, timeout: 90s, batch: 2MiB,
         tls: {ca: c, verify: false}, path: 4}
grid: {interval: 1h, lateness: 10min, aggregate: last, idle: 1min, future: 2d, earliest: 2001-01-01}
network: {sensors: [1, two], positions: data/where.txt}
limits: {temperature: {min: -20, max: 6e1}, humidity: {max: 100}}
targets: {sensors: [1], quantities: [temperature, humidity]}
evaluation:
  mode: blackout
  hide: together
  spans: [{from: 2004-03-03T00:00:00Z, to: 2004-03-04}, {from: 2004-03-02, to: 2004-03-03}]
  release: never
models:
  a: {type: level, alpha: 1e-1, neighbours: {of: {1: [two], two: [1]}}, horizons: [1d, 0, -2],
      level: 0.5}
  b: {type: level, neighbours: all}
sinks: {s: {type: tsdb, url: "http://${GAPCAST_USER}:${GAPCAST_PASS}@db"},
        n: {type: 'null', require: idempotent}}
checkpoint: {interval: 5s}
backend: {type: here}
"""


@pytest.fixture(autouse=True)
def folder(site, tmp_path, monkeypatch):
    """A working folder in a world where acme-plugins is installed."""
    install_acme(site)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAPCAST_USER", "ada-lovelace")
    monkeypatch.setenv("GAPCAST_PASS", "p/ss wörd'1")
    return tmp_path


def load(text, *settings):
    Path("c.yaml").write_text(text, encoding="utf-8")
    return load_config("c.yaml", settings)


def test_the_least_config_and_its_defaults():
    config = read_config(LEAST)
    assert (config.name, config.source.type_name) == ("least", "http")
    assert config.grid.interval == 30 * MINUTE
    assert (config.grid.lateness, config.grid.idle) == (0, 5 * MINUTE)
    assert (config.grid.aggregate, config.grid.future) == ("mean", None)
    assert config.grid.earliest == 631_152_000_000_000
    assert config.targets.sensors is None
    assert config.network.sensors is config.network.positions is None
    assert (config.evaluation.mode, config.evaluation.spans) == ("prequential", ())
    assert {name: sink.type_name for name, sink in config.sinks.items()} == {"files": "files"}
    assert config.backend.type_name == "local"
    assert config.checkpoint.interval == 30_000_000
    assert (config.models["m"].horizons, config.models["m"].level) == ((0,), 0.9)


def test_everything_that_can_be_written():
    config = load(FULL)
    assert config.source.params.port == 81
    assert config.source.params.timeout == 90_000_000
    assert config.source.params.batch == 2 << 20
    assert config.source.params.tls.verify is False
    assert config.network.sensors == ("1", "two")
    assert config.network.positions == Path("data/where.txt")
    assert config.limits["temperature"].max == 60.0
    assert config.limits["humidity"].min is None
    assert config.targets.sensors == ("1",)
    assert [s.end - s.start for s in config.evaluation.spans] == [1440 * MINUTE] * 2
    a, b = config.models.values()
    assert (a.horizons, a.level, a.params.alpha) == ((-2, 0, 24), 0.5, 0.1)
    assert a.params.neighbours.of == {"1": ("two",), "two": ("1",)}
    assert b.params.neighbours == Neighbours(all=True)
    assert {n: sink.require for n, sink in config.sinks.items()} == {"s": None, "n": "idempotent"}


def test_a_chosen_plugin_is_made_with_its_parameters():
    source = load(FULL).source
    made = source.create()
    assert type(made) is source.plugin
    assert made.params is source.params


def test_settings_win_and_are_checked_alike():
    noon = "evaluation.spans.0.from=2004-03-03T12:00:00Z"
    config = load(FULL, "grid.interval=2h", "models.c={type: level}", noon)
    assert config.grid.interval == 120 * MINUTE
    assert config.models["a"].horizons == (-2, 0, 12)
    assert list(config.models) == ["a", "b", "c"]
    assert config.evaluation.spans[0].end - config.evaluation.spans[0].start == 720 * MINUTE
    with pytest.raises(ConfigError, match="--set models"):
        load(FULL, "models.c.type=level", "models.c.alfa=1")


def test_a_config_written_down_is_read_back_the_same():
    config = load(FULL)
    plain = json.loads(json.dumps(redact(config)))
    again = read_config(plain)
    assert again == config
    assert redact(again) == plain
    least = read_config(LEAST)
    assert read_config(redact(least)) == least


def test_what_is_written_down_has_every_default_and_no_secret():
    plain = redact(load(FULL))
    assert plain["sinks"]["s"]["url"] == "http://${GAPCAST_USER}:${GAPCAST_PASS}@db"
    assert plain["grid"] == {
        "interval": "1h", "lateness": "10min", "aggregate": "last", "idle": "1min",
        "future": "2d", "duplicates": "drop-same", "max_gap": None, "align": "within",
        "offset": "0s", "zone": "UTC", "earliest": "2001-01-01T00:00:00Z",
    }  # fmt: skip
    assert plain["models"]["b"] == {
        "type": "level", "alpha": 0.5, "neighbours": "all", "horizons": [0], "level": 0.9,
        "derive": None,
        "role": "primary",
    }  # fmt: skip
    assert "ada-lovelace" not in json.dumps(plain, ensure_ascii=False)
    assert "wörd" not in json.dumps(plain, ensure_ascii=False)


def test_secrets_are_filled_in_from_environment_and_files(folder, monkeypatch):
    (folder / "token").write_text("s3cr3t-token\n")
    monkeypatch.setenv("PORT_OF_CALL", "8080")
    token = f"source.token=${{file:{folder}/token}}"
    config = load(FULL, token, "source.url=$${not}", "source.port=${PORT_OF_CALL}")
    assert config.source.params.token == "s3cr3t-token"
    assert config.source.params.url == "${not}"
    assert config.source.params.port == 8080
    assert config.sinks["s"].params.url == "http://ada-lovelace:p/ss wörd'1@db"
    plain = redact(config)
    assert plain["source"]["token"] == f"${{file:{folder}/token}}"
    assert plain["source"]["port"] == "${PORT_OF_CALL}"
    assert plain["source"]["url"] == "$${not}"
    assert read_config(plain) == config


def test_what_is_written_down_is_hidden_by_its_place_and_not_by_its_value(monkeypatch):
    monkeypatch.setenv("REGION", "temp")
    monkeypatch.setenv("WHERE", "roof")
    quantities = "targets.quantities=[temperature]"
    inputs = "inputs={weather: ['${WHERE}/${REGION}erature']}"
    config = load(FULL, "name=${REGION}", quantities, inputs, "evaluation.hide=each")
    plain = json.loads(json.dumps(redact(config)))
    assert plain["name"] == "${REGION}"
    assert plain["targets"]["quantities"] == ["temperature"]
    assert plain["limits"].keys() == {"temperature", "humidity"}
    assert plain["inputs"] == {"weather": {"series": ["${WHERE}/${REGION}erature"], "ahead": None}}
    again = read_config(plain)
    assert again.inputs == config.inputs
    assert redact(again) == plain


def test_secrets_show_in_no_repr_nor_error(monkeypatch):
    config = load(FULL)
    section = model.PluginSection.model_validate({"type": "x", "url": "ada-lovelace"})
    for shown in map(repr, (config, config.sinks, config.network, section)):
        assert "ada" not in shown
        assert "wörd" not in shown
    monkeypatch.setenv("SHORT", "x y")
    for text in ("${GAPCAST_PASS}", "${SHORT}", "pre-${GAPCAST_PASS}"):
        with pytest.raises(ConfigError) as caught:
            load(FULL, f"source.token={text}")
        assert "has a blank" in str(caught.value)
        assert "wörd" not in str(caught.value)
        assert "x y" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_secret_of_the_wrong_kind_is_shown_as_its_placeholder(monkeypatch):
    monkeypatch.setenv("PORT_OF_CALL", "not-a-number")
    with pytest.raises(ConfigError) as caught:
        load(FULL, "source.port=${PORT_OF_CALL}", "grid.interval=${PORT_OF_CALL}")
    assert "got '${PORT_OF_CALL}'" in str(caught.value)
    assert "not-a-number" not in str(caught.value)


def test_masking_finds_a_secret_as_it_is_in_quotes_and_in_urls():
    load(FULL)
    for text in ("p/ss wörd'1", repr({"a": "p/ss wörd'1"}), "p%2Fss%20w%C3%B6rd%271"):
        assert "${GAPCAST_PASS}" in mask(f"cannot log in as x:{text}!")
        assert "rd" not in mask(text).replace("GAPCAST", "")


def test_a_placeholder_is_not_looked_for_in_a_secret(monkeypatch):
    monkeypatch.setenv("OUTER", "${GAPCAST_USER}")
    assert load(FULL, "source.token=${OUTER}").source.params.token == "${GAPCAST_USER}"


def mistakes(data):
    return list(Draft202012Validator(schema()).iter_errors(data))


def valid(data):
    return not mistakes(data)


def test_the_schema_is_a_schema_and_accepts_what_is_read():
    Draft202012Validator.check_schema(schema())
    assert valid(LEAST)
    assert valid(redact(load(FULL)))
    assert valid(redact(read_config(LEAST)))


SHIPPED = sorted(p for p in (ROOT / "configs").glob("*.yaml") if p.name != "produce.yaml")
ADDRESSES = {
    "KAFKA": "127.0.0.1:9092",
    "HDFS": "hdfs://127.0.0.1:9000",
    "INFLUX": "http://127.0.0.1:8086",
    "OPENTSDB": "http://127.0.0.1:4242",
}


@pytest.fixture
def addresses(monkeypatch):
    for name, value in ADDRESSES.items():
        monkeypatch.setenv(name, value)


def test_the_production_that_ships_is_right(addresses):
    made = load_production(ROOT / "configs" / "produce.yaml")
    assert made.source.params.path == "data/intel-lab-3days.txt.gz"
    (sink,) = made.sinks.values()
    assert (sink.params.brokers, sink.params.topic) == (ADDRESSES["KAFKA"], "readings")
    assert sink.plugin.receives is Receives.READINGS


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_the_configs_that_ship_are_right_by_reader_and_schema(path):
    load_config(path)
    written = parse(path.read_text(), path.name)
    data = json.loads(json.dumps(written.data, default=str))  # JSON has no times
    assert [f"{list(e.path)}: {e.message}" for e in mistakes(data)] == []


def changed(path, value):
    data = deepcopy(LEAST)
    inside = data
    for key in path[:-1]:
        inside = inside.setdefault(key, {})
    inside[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("grid", "interval"), 30),
        (("grid", "latenes"), "0s"),
        (("grid", "aggregate"), "mode"),
        (("source", "ulr"), "x"),
        (("source", "format"), "tsv"),
        (("source", "tls"), {"verify": True}),
        (("source", "batch"), 64),
        (("models", "m", "alpha"), 2),
        (("models", "m", "horizons"), [0.5]),
        (("models", "m", "neighbours"), {"nearest": 1, "clusters": 1}),
        (("models", "m", "neighbours"), {"nearest": 0}),
        (("models", "m", "type"), "unheard-of"),
        (("models",), {}),
        (("sinks", "s"), {"url": "x"}),
        (("sinks", "s"), {"type": "tsdb"}),
        (("targets", "sensors"), "none"),
        (("derived",), {}),
        (("derive",), {"dew_point": {"from": ["temperature"]}}),
        (("derive",), {"dew_point": {"type": "dew-point", "form": "x"}}),
        (("derive",), {"dew_point": None}),
        (("models", "m", "derive"), "perhaps"),
    ],
)
def test_schema_and_reader_reject_the_same(path, value):
    assert not valid(changed(path, value))
    with pytest.raises(ConfigError) as caught:
        read_config(changed(path, value))
    (problem,) = caught.value.problems
    assert problem.key.startswith(".".join(path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("models", "m", "neighbours"), "all"),
        (("models", "m", "neighbours"), {"of": {"1": [2, "b"]}}),
        (("models", "m", "horizons"), [0, "1h", "-30min"]),
        (("models", "m", "type"), "acme_plugins:Level"),
        (("source", "tls"), {"ca": "x"}),
        (("targets", "sensors"), [1, "b"]),
        (("limits",), {"temperature": {"min": 0}}),
        (("source", "path"), "auto"),
        (("derive",), {}),
        (("derive",), None),
        (("models", "m", "derive"), False),
    ],
)
def test_schema_and_reader_accept_the_same(path, value):
    assert valid(changed(path, value))
    read_config(changed(path, value))


def paths(data, path=()):
    """Every key path of plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


anything = st.recursive(
    st.sampled_from([None, True, 0, -1, 2.5, math.nan, "", "all", "1h", "level", "x:Y", "a b"]),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from("ab"), below),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_whatever_stands_anywhere_is_read_or_rejected_with_reasons(data):
    whole = redact(load(FULL))
    path = data.draw(st.sampled_from(sorted(paths(whole), key=str)))
    inside = whole
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = data.draw(anything)
    problems = []
    try:
        read_config(whole)
    except ConfigError as error:
        problems = error.problems or [None]
    assert all(p.where == "config" and p.key and p.message for p in problems)


def sections():
    found = [v for v in vars(model).values() if isinstance(v, type) and issubclass(v, BaseModel)]
    return [v for v in found if v.__module__ == model.__name__]


def test_every_key_has_a_description():
    whole = schema()
    for section in sections():
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
    for entry in Registry.installed().entries:
        if entry.package == "gapcast":
            for name, field in entry.load().Params.model_fields.items():
                assert field.description, f"{entry.kind} {entry.name}: {name}"
    for name, definition in whole["$defs"].items():
        for key, node in definition.get("properties", {}).items():
            assert node.get("description") or "$ref" in node, f"{name}.{key}"


def test_defaults_and_schema_agree_both_ways():
    seen = 0
    for section in sections():
        shown = schema_of(section)["properties"]
        fields = {f.alias or name: f for name, f in section.model_fields.items()}
        assert shown.keys() == fields.keys()
        for key, field in fields.items():
            assert field.is_required() == ("default" not in shown[key])
            if not field.is_required():
                kind = TypeAdapter(Annotated[field.annotation, *field.metadata, key])
                assert kind.validate_python(shown[key]["default"]) == field.get_default()
                seen += 1
    assert seen > 20


def test_the_page_of_all_keys_is_up_to_date():
    assert (ROOT / "docs/config.md").read_text() == render()


def test_the_page_names_every_key():
    ok = [p.entry for p in Registry.installed().plugins() if p.state == "ok"]
    page = render(Registry(ok))
    for key in (
        "grid.interval",
        "evaluation.spans[].from",
        "limits.<name>.max",
        "models.<name>.level",
    ):
        assert f"| `{key}` |" in page
    assert "acme" not in page


def test_a_config_that_names_no_model_gets_the_joint_one():
    config = read_config({k: v for k, v in LEAST.items() if k != "models"})
    assert {n: m.type_name for n, m in config.models.items()} == {"auto": "auto"}
