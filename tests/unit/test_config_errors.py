"""The wording of config errors, whole lines, as a user sees them."""

from __future__ import annotations

import pytest
from packages import ACME, install, install_acme

from gapcast.engine.config import load_config, read_config
from gapcast.engine.errors import ConfigError

RIGHT = """\
name: x
source: {type: http, url: http://here}
grid:
  interval: 30min
targets: {quantities: [temperature]}
models:
  level:
    type: level
sinks:
  keep: {type: 'null'}
"""
MODEL = "models:\n  level:\n    type: level"
DEW = "{type: dew-point}"
ACME_ = "(http source, package acme-plugins 1.2)"


@pytest.fixture(autouse=True)
def folder(site, tmp_path, monkeypatch):
    """An empty working folder in a world where acme-plugins is installed."""
    install_acme(site)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(text, *settings):
    """The lines of the error that `text` gives; none if it is right."""
    with open("c.yaml", "w") as file:
        file.write(text)
    try:
        load_config("c.yaml", settings)
    except ConfigError as error:
        return str(error).split("\n")
    return []


def changed(old, new, *settings):
    assert old in RIGHT
    return lines(RIGHT.replace(old, new), *settings)


def test_the_example_is_right():
    assert lines(RIGHT) == []


ONE = {
    "unknown key": (
        "  interval: 30min", "  interval: 30min\n  latenes: 0s",
        "c.yaml:5:3  grid.latenes: unknown key; did you mean 'lateness'?",
    ),
    "unknown key like no other": (
        "targets: {", "targets: {zzzz: 1, ",
        "c.yaml:5:11  targets.zzzz: unknown key; known here: sensors, quantities",
    ),
    "unknown key at the top": (
        "name: x", "name: x\nzzzz: {}",
        "c.yaml:2:1  zzzz: unknown key; known here: name, source, grid, network, limits, screen, "
        "targets, inputs, derive, evaluation, models, sinks, checkpoint, delivery, serve, "
        "backtest, backend",
    ),
    "an unknown derivation": (
        "name: x", "name: x\nderive: {dew_pont: {}}",
        "c.yaml:2:10  derive.dew_pont.type: unknown derivation 'dew-pont'; "
        "did you mean 'dew-point'? known: ",
    ),
    "unknown key of a derivation": (
        "name: x", "name: x\nderive: {dew_point: {form: [a, b]}}",
        "c.yaml:2:22  derive.dew_point.form: unknown key; did you mean 'from'?",
    ),
    "a derivation of one quantity": (
        "name: x", "name: x\nderive: {dew_point: {from: temperature}}",
        "c.yaml:2:22  derive.dew_point.from: must be a list, got 'temperature'",
    ),
    "a derivation that nobody uses": (
        "name: x", "name: x\nderive: {dew_point: {}}",
        "c.yaml:2:1  derive: no model makes use of it; give one derive: true",
    ),
    "a derivation of no target": (
        MODEL, f"derive: {{dew_point: {{from: [light, humidity]}}}}\n{MODEL}\n    derive: true",
        "c.yaml:6:10  derive.dew_point: is for light, which is not one of targets.quantities",
    ),
    "a derivation of itself": (
        MODEL,
        f"derive: {{dew_point: {{from: [temperature, temperature]}}}}\n{MODEL}\n    derive: true",
        "c.yaml:6:10  derive.dew_point: needs two quantities, not temperature twice",
    ),
    "two derivations of one quantity": (
        MODEL,
        f"derive: {{a: {DEW}, b: {DEW}}}\n{MODEL}\n    derive: true",
        "c.yaml:6:32  derive.b: is for temperature, and so is a; one is enough",
    ),
    "nothing to derive": (
        MODEL, f"derive: {{}}\n{MODEL}\n    derive: true",
        "c.yaml:10:5  models.level.derive: there is nothing to derive: derive is {}",
    ),
    "no nowcast to derive": (
        MODEL, f"{MODEL}\n    derive: true\n    horizons: [1]",
        "c.yaml:9:5  models.level.derive: what is derived serves horizons of 0 and below only",
    ),
    "unknown key of a plugin": (
        "url: http://here", "url: http://here, ulr: a",
        f"c.yaml:2:40  source.ulr: unknown key; did you mean 'url'? {ACME_}",
    ),
    "unknown key below a plugin's": (
        "url: http://here", "url: u, tls: {ca: a, verfy: no}",
        f"c.yaml:2:43  source.tls.verfy: unknown key; did you mean 'verify'? {ACME_}",
    ),
    "unknown key of a model, near one that all models have": (
        "type: level", "type: level\n    horizon: [0]",
        "c.yaml:9:5  models.level.horizon: unknown key; did you mean 'horizons'? "
        "(level forecaster, package acme-plugins 1.2)",
    ),
    "missing key": (
        "  interval: 30min", "  idle: 1min",
        "c.yaml:3:1  grid.interval: required key is missing",
    ),
    "missing key at the top": (
        "name: x\n", "# nothing\n",
        "c.yaml:2:1  name: required key is missing",
    ),
    "missing key of a plugin": (
        "url: http://here", "port: 8080",
        f"c.yaml:2:1  source.url: required key is missing {ACME_}",
    ),
    "missing key below a plugin's": (
        "url: http://here", "url: u, tls: {}",
        f"c.yaml:2:30  source.tls.ca: required key is missing {ACME_}",
    ),
    "missing type": (
        "type: http, ", "", "c.yaml:2:1  source.type: required key is missing",
    ),
    "a bare number where a unit belongs": (
        "30min", "30",
        "c.yaml:4:3  grid.interval: must be a duration such as 30s, 5min, 1h or 1d, got 30",
    ),
    "a duration of nothing": (
        "30min", "0s", "c.yaml:4:3  grid.interval: must be greater than 0, got '0s'",
    ),
    "a plugin's duration": (
        "url: http://here", "url: u, timeout: soon",
        "c.yaml:2:30  source.timeout: must be a duration such as 30s, 5min, 1h or 1d, got 'soon' "
        + ACME_,
    ),
    "a plugin's size": (
        "url: http://here", "url: u, batch: 64",
        f"c.yaml:2:30  source.batch: must be a size such as 10MB or 64MiB, got 64 {ACME_}",
    ),
    "a plugin's whole number": (
        "url: http://here", "url: u, port: http",
        f"c.yaml:2:30  source.port: must be a whole number, got 'http' {ACME_}",
    ),
    "a plugin's number out of range": (
        "url: http://here", "url: u, port: 0",
        "c.yaml:2:30  source.port: must be greater than or equal to 1, got 0 " + ACME_,
    ),
    "a plugin's text": (
        "url: http://here", "url: 5",
        "c.yaml:2:22  source.url: must be text (in quotes if it reads as something else), got 5 "
        + ACME_,
    ),
    "a plugin's truth value": (
        "url: http://here", "url: u, tls: {ca: a, verify: maybe}",
        f"c.yaml:2:43  source.tls.verify: must be true or false, got 'maybe' {ACME_}",
    ),
    "a plugin's section": (
        "url: http://here", "url: u, tls: [1]",
        f"c.yaml:2:30  source.tls: must be a section of keys, got a list {ACME_}",
    ),
    "one of a plugin's words": (
        "url: http://here", "url: u, format: parket",
        "c.yaml:2:30  source.format: must be 'csv' or 'parquet' (perhaps 'parquet'), got 'parket' "
        + ACME_,
    ),
    "alternatives of one key": (
        "url: http://here", "url: u, path: left",
        f"c.yaml:2:30  source.path: must be a whole number or 'auto', got 'left' {ACME_}",
    ),
    "what a plugin's own check says": (
        "url: http://here", "url: u, token: a b",
        f"c.yaml:2:30  source.token: 'a b' has a blank {ACME_}",
    ),
    "one of our words": (
        "  interval: 30min", "  interval: 30min\n  aggregate: mode",
        "c.yaml:5:3  grid.aggregate: must be 'mean', 'last', 'min', 'max' or 'sum' "
        "or a section of keys, got 'mode'",
    ),
    "one of our words, nearly": (
        "targets: {", "evaluation: {mode: blakout}\ntargets: {",
        "c.yaml:5:14  evaluation.mode: must be 'prequential' or 'blackout' (perhaps 'blackout'), "
        "got 'blakout'",
    ),
    "a number": (
        "type: level", "type: level\n    level: high",
        "c.yaml:9:5  models.level.level: must be a number, got 'high'",
    ),
    "a number out of range": (
        "type: level", "type: level\n    level: 95",
        "c.yaml:9:5  models.level.level: must be less than 1, got 95",
    ),
    "a model's number": (
        "type: level", "type: level\n    alpha: 1.5",
        "c.yaml:9:5  models.level.alpha: must be less than 1, got 1.5 "
        "(level forecaster, package acme-plugins 1.2)",
    ),
    "a choice of neighbours": (
        "type: level", "type: level\n    neighbours: {nearest: 3, clusters: 2}",
        "c.yaml:9:5  models.level.neighbours: must be all or one of {nearest: k}, "
        "{correlated: k}, {clusters: k}, {of: {1: [2]}}, got a section "
        "(level forecaster, package acme-plugins 1.2)",
    ),
    "a number of neighbours": (
        "type: level", "type: level\n    neighbours: {nearest: none}",
        "c.yaml:9:18  models.level.neighbours.nearest: must be a whole number, got 'none' "
        "(level forecaster, package acme-plugins 1.2)",
    ),
    "a kind of neighbours": (
        "type: level", "type: level\n    neighbours: {nearset: 3}",
        "c.yaml:9:18  models.level.neighbours.nearset: unknown key; did you mean 'nearest'? "
        "(level forecaster, package acme-plugins 1.2)",
    ),
    "a list": (
        "[temperature]", "temperature",
        "c.yaml:5:11  targets.quantities: must be a list, got 'temperature'",
    ),
    "an empty list": (
        "[temperature]", "[]",
        "c.yaml:5:11  targets.quantities: must not be empty, got an empty list",
    ),
    "an item of a list": (
        "[temperature]", "[temperature, 7]",
        "c.yaml:5:37  targets.quantities[1]: must be text (in quotes if it reads as something "
        "else), got 7",
    ),
    "sensors": (
        "targets: {", "targets: {sensors: none, ",
        "c.yaml:5:11  targets.sensors: must be all or a list of sensors, got 'none'",
    ),
    "a sensor": (
        "targets: {", "targets: {sensors: [1, 2.5], ",
        "c.yaml:5:24  targets.sensors[1]: must be a sensor's name (in quotes if it reads as "
        "something else), got 2.5",
    ),
    "a section": (
        "grid:\n  interval: 30min", "grid: 30min",
        "c.yaml:3:1  grid: must be a section of keys, got '30min'",
    ),
    "nothing": (
        "grid:\n  interval: 30min", "grid:",
        "c.yaml:3:1  grid: must be a section of keys, got nothing",
    ),
    "a name": (
        "name: x", "name: ../x",
        "c.yaml:1:1  name: must be a name of letters, digits, - and _, got '../x'",
    ),
    "no model at all": (
        "models:\n  level:\n    type: level", "models: {}",
        "c.yaml:6:1  models: must not be empty, got an empty section",
    ),
    "an unknown plugin": (
        "type: level", "type: levle",
        "c.yaml:8:5  models.level.type: unknown forecaster 'levle'; did you mean 'level'? known: ",
    ),
    "a sink that promises less than is required": (
        "type: 'null'", "type: 'null', require: transactional",
        "c.yaml:10:24  sinks.keep.require: null promises only idempotent, expected transactional: "
        "choose another sink, or require less",
    ),
    "a promise that there is not": (
        "type: 'null'", "type: 'null', require: transaction",
        "c.yaml:10:24  sinks.keep.require: must be 'at-least-once', 'idempotent' or "
        "'transactional' (perhaps 'transactional'), got 'transaction'",
    ),
    "the old name of a plugin, the beginning of today's": (
        "type: 'null'", "type: kafka-dead",
        "c.yaml:10:10  sinks.keep.type: unknown sink 'kafka-dead'; "
        "did you mean 'kafka-dead-letters'? known: ",
    ),
    "a repeated key": (
        "  interval: 30min", "  interval: 30min\n  interval: 1h",
        "c.yaml:5:3  grid.interval: the same key stands on line 4",
    ),
    "YAML": (
        "name: x", "name: x: y", "c.yaml:1:8  not valid YAML: mapping values are not allowed here",
    ),
    "horizons that do not fit": (
        "type: level", "type: level\n    horizons: [0, 45min]",
        "c.yaml:9:19  models.level.horizons[1]: must be a multiple of grid.interval, 30min, "
        "got '45min'",
    ),
    "horizons of another kind": (
        "type: level", "type: level\n    horizons: [0.5]",
        "c.yaml:9:16  models.level.horizons[0]: must be a whole number of steps or a duration "
        "such as 1h, got 0.5",
    ),
    "horizons twice": (
        "type: level", "type: level\n    horizons: [1h, 2]",
        "c.yaml:9:5  models.level.horizons: must be different horizons, got a list",
    ),
    "horizons that the model does not serve": (
        "type: level", "type: level\n    horizons: [0, 2d]",
        "c.yaml:9:5  models.level.horizons: level serves horizons of -2 to 48 steps only",
    ),
    "limits upside down": (
        "targets: {", "limits: {t: {min: 5, max: -5}}\ntargets: {",
        "c.yaml:5:10  limits.t: must be a range whose min is below its max, got a section",
    ),
    "limits of nothing": (
        "targets: {", "limits: {t: {}}\ntargets: {",
        "c.yaml:5:10  limits.t: must be a range with min, max or both, got an empty section",
    ),
    "a limit that is no number": (
        "targets: {", "limits: {t: {min: .nan}}\ntargets: {",
        "c.yaml:5:14  limits.t.min: must be a finite number, got .nan",
    ),
    "a blackout without spans": (
        "targets: {", "evaluation: {mode: blackout}\ntargets: {",
        "c.yaml:5:1  evaluation.spans: must be given for 'mode: blackout' and only then",
    ),
    "spans without a blackout": (
        "targets: {", "evaluation: {spans: [{from: 2004-01-01, to: 2004-01-02}]}\ntargets: {",
        "c.yaml:5:14  evaluation.spans: must be given for 'mode: blackout' and only then, "
        "got a list",
    ),
    "a span that ends before it begins": (
        "targets: {",
        "evaluation: {mode: blackout, spans: [{from: 2004-01-02, to: 2004-01-01}]}\ntargets: {",
        "c.yaml:5:57  evaluation.spans[0].to: must be later than 'from', got 2004-01-01",
    ),
    "a span of something else": (
        "targets: {", "evaluation: {mode: blackout, spans: [{from: noon, to: 5}]}\ntargets: {",
        "c.yaml:5:39  evaluation.spans[0].from: must be a time such as 2004-03-03T00:00:00Z, "
        "got 'noon'",
    ),
    "spans that overlap": (
        "targets: {",
        "evaluation:\n  mode: blackout\n  spans:\n    - {from: 2004-01-01, to: 2004-01-03}\n"
        "    - {from: 2004-01-02, to: 2004-01-04}\ntargets: {",
        "c.yaml:7:3  evaluation.spans: must be spans that do not overlap, got a list",
    ),
    "a target outside the network": (
        "targets: {", "network: {sensors: [1, 2]}\ntargets: {sensors: [1, 3], ",
        "c.yaml:6:24  targets.sensors[1]: '3' is not one of network.sensors",
    ),
    "a placeholder without a value": (
        "url: http://here", "url: '${GAPCAST_NOT_SET}'",
        "c.yaml:2:22  source.url: the environment has no variable GAPCAST_NOT_SET",
    ),
    "a placeholder without a file": (
        "url: http://here", "url: '${file:nowhere}'",
        "c.yaml:2:22  source.url: cannot read nowhere: No such file or directory",
    ),
    "a placeholder of another form": (
        "url: http://here", "url: '${a-b}'",
        "c.yaml:2:22  source.url: ${a-b} must read ${NAME} or ${file:/path}; "
        "write $${ for a plain ${",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ONE)
def test_one_mistake_is_one_line(what):
    old, new, expected = ONE[what]
    found = changed(old, new)
    assert found[0].startswith(expected)
    if not expected.endswith("known: "):
        assert found[0] == expected
    rest = {"a span of something else": 1}
    assert len(found) == 1 + rest.get(what, 0)


def test_all_mistakes_come_at_once_in_file_order():
    text = """\
nmae: x
source: {type: htpp, url: u}
grid: {interval: 5}
targets: {quantities: []}
models:
  a: {type: level, alpha: high}
  b: {type: level, horizons: [one]}
sinks:
  s: {type: tsdb, ulr: u}
"""
    found = lines(text, "checkpoint.interval=soon", "backend.type=heer")
    places = [line.partition("  ")[0] for line in found]
    assert places == [
        "c.yaml:1:1", "c.yaml:1:1", "c.yaml:2:10", "c.yaml:3:8", "c.yaml:4:11", "c.yaml:6:20",
        "c.yaml:7:31", "c.yaml:9:3", "c.yaml:9:19", "--set checkpoint.interval",
        "--set backend.type",
    ]  # fmt: skip


def test_settings_are_named_as_the_place():
    assert lines(RIGHT, "models.level.alpha=2", "grid.latenes=1s") == [
        "--set models.level.alpha  models.level.alpha: must be less than 1, got 2 "
        "(level forecaster, package acme-plugins 1.2)",
        "--set grid.latenes  grid.latenes: unknown key; did you mean 'lateness'?",
    ]
    assert lines(RIGHT, "name") == ["--set name  must read key=value"]


def test_a_class_named_by_its_module_is_named_in_its_errors(site):
    (site / "mine.py").write_text(ACME)
    assert changed("{type: http,", "{type: 'mine:Http', port: x,") == [
        "c.yaml:2:29  source.port: must be a whole number, got 'x' (mine:Http source)"
    ]


def test_a_broken_plugin_is_one_line_at_its_type(site):
    install(
        site, "crumbling", "9.9",
        {"gapcast.sinks": {"crumb": "crumbs:X"}}, {"crumbs": "raise OSError('a\\nb')"},
    )  # fmt: skip
    assert changed("type: 'null'", "type: crumb") == [
        "c.yaml:10:10  sinks.keep.type: sink 'crumb' (crumbling 9.9, crumbs:X) cannot be loaded: "
        "OSError: a"
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_config_misses_every_required_key(text):
    missing = ["name", "source", "grid", "targets"]
    assert lines(text) == [f"c.yaml:1:1  {key}: required key is missing" for key in missing]


@pytest.mark.parametrize("text", ["- a", "just words", "5"])
def test_what_is_no_config_at_all(text):
    assert lines(text) == ["c.yaml:1:1  must be keys such as name: x"]


def test_files_that_cannot_be_read(folder):
    for path, message in (
        ("nowhere.yaml", "nowhere.yaml  cannot be read: No such file or directory"),
        (".", ".  cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(caught.value) == message
    (folder / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigError, match=r"latin\.yaml  is not UTF-8 text"):
        load_config("latin.yaml")


def test_plain_data_has_no_lines_but_keys():
    with pytest.raises(ConfigError) as caught:
        read_config({"name": 5, "source": {"type": "http", "url": "u", "port": "x"}})
    assert str(caught.value).split("\n")[:2] == [
        "config  name: must be text (in quotes if it reads as something else), got 5",
        "config  grid: required key is missing",
    ]


def test_long_values_are_cut_short():
    (line,) = changed("30min", "m" * 500)
    assert len(line) < 200
    assert line.endswith("mmm...'")
