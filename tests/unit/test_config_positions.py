"""YAML with places: what is read, where it stands, and which mistakes are found."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gapcast.engine.config.overrides import override
from gapcast.engine.config.positions import parse, show

TEXT = """\
# a comment
name: x
grid:
  interval: 30min
  deep: {a: 1, "b": [10, 20]}
spans:
  - {from: 2004-03-03T00:00:00Z, to: 2004-03-04}
  - plain
"""


def read(text):
    written = parse(text, "c.yaml")
    assert written.mistakes == []
    return written.data


def mistakes(text):
    return [(m.place.where, show(m.path), m.message) for m in parse(text, "c.yaml").mistakes]


@pytest.mark.parametrize(
    ("path", "where", "text"),
    [
        ((), "c.yaml:2:1", ""),
        (("name",), "c.yaml:2:1", "x"),
        (("grid",), "c.yaml:3:1", ""),
        (("grid", "interval"), "c.yaml:4:3", "30min"),
        (("grid", "deep", "a"), "c.yaml:5:10", "1"),
        (("grid", "deep", "b"), "c.yaml:5:16", ""),
        (("grid", "deep", "b", 1), "c.yaml:5:26", "20"),
        (("spans", 0), "c.yaml:7:5", ""),
        (("spans", 0, "to"), "c.yaml:7:34", "2004-03-04"),
        (("spans", 1), "c.yaml:8:5", "plain"),
        (("grid", "absent"), "c.yaml:3:1", ""),
        (("absent", "far", 3), "c.yaml:2:1", ""),
    ],
)
def test_every_key_and_item_has_its_place_or_its_parent_s(path, where, text):
    place = parse(TEXT, "c.yaml").place(path)
    assert (place.where, place.text) == (where, text)


def test_times_are_aware_and_in_utc():
    zoned = "2004-03-03T02:00:00+02:00"
    for text in ("2004-03-03", "2004-03-03T00:00:00", "2004-03-03 00:00:00Z", zoned):
        (moment,) = read(f"- {text}")
        assert moment == datetime(2004, 3, 3, tzinfo=UTC)
        assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1.5", 1.5), ("-2", -2), ("+3", 3), ("0", 0), (".5", 0.5),
        (".inf", float("inf")), ("-.inf", float("-inf")), ("6.02e23", 6.02e23),
        ("010", "010"), ("1:30", "1:30"), ("1_000", "1_000"), ("0x1F", "0x1F"),
        ("yes", "yes"), ("off", "off"), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None), ("=", "="), ('"5"', "5"), ("5min", "5min"),
        ("!!str 5", "5"),
    ],
)  # fmt: skip
def test_words_mean_what_they_mean_to_an_editor(text, value):
    (read_value,) = read(f"- {text}")
    assert read_value == value
    assert type(read_value) is type(value)


def test_keys_are_text_as_written():
    assert read("{1: a, 007: b, on: c, null: d, 2004-01-01: e}") == {
        "1": "a", "007": "b", "on": "c", "null": "d", "2004-01-01": "e",
    }  # fmt: skip


def test_aliases_and_merges_are_written_out_with_their_places():
    text = "base: &b {a: 1, c: 2}\nmore: {<<: *b, c: 3}\nlist: [*b, *b]\n"
    written = parse(text, "c.yaml")
    assert written.mistakes == []
    assert written.data["more"] == {"a": 1, "c": 3}
    assert written.data["list"] == [{"a": 1, "c": 2}] * 2
    assert written.place(("more", "a")).where == "c.yaml:1:11"
    assert written.place(("more", "c")).where == "c.yaml:2:16"


def test_the_same_key_twice_is_a_mistake_at_the_second():
    text = "a:\n  b: 1\n  c: 2\n  b: 3\n"
    assert mistakes(text) == [("c.yaml:4:3", "a.b", "the same key stands on line 2")]
    assert mistakes("{1: a, '1': b}")[0][1] == "1"


def test_a_repeated_key_below_an_alias_is_told_once():
    assert len(mistakes("a: &x {b: 1, b: 2}\nc: *x\nd: *x\n")) == 1


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: b: c", "c.yaml:1:5", "not valid YAML: mapping values are not allowed here"),
        ("a:\n  [1,", "c.yaml:2:6", "not valid YAML: "),
        ("a: *nowhere", "c.yaml:1:4", "not valid YAML: found undefined alias 'nowhere'"),
        ("a: 1\n---\nb: 2", "c.yaml:2:1", "not valid YAML: but found another document"),
        ("a: 1\nb: \x00", "c.yaml:2:4", "not valid YAML: special characters"),
        ("a: !!python/object/apply:os.getcwd []", "c.yaml:1:4", "has no meaning here"),
        ("a: !mine 5", "c.yaml:1:4", "has no meaning here"),
        ("a: !!binary aGk=", "c.yaml:1:4", "has no meaning here"),
        ("a: 2004-02-31", "c.yaml:1:4", "'2004-02-31' is not valid: "),
        ("a: 0001-01-01T00:00:00+10:00", "c.yaml:1:4", "is not valid: "),
        ("a: !!int x", "c.yaml:1:4", "'x' is not valid: "),
        ("? [a, b]\n: 1", "c.yaml:1:3", "a key must be one word"),
        ("a: &x [*x]", "c.yaml:1:1", "nested too deeply"),
        ("a: &x {<<: *x, b: 1}\nc: &y {d: *y}", "c.yaml:1:1", "nested too deeply"),
        ("[" * 5000, "c.yaml:1:1", "nested too deeply"),
    ],
)
def test_mistakes_of_yaml_have_a_place(text, where, message):
    (found,) = mistakes(text)
    assert found[0] == where
    assert message in found[2]


def test_aliases_of_aliases_cannot_fill_the_memory():
    levels = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))
    (found,) = mistakes(f"a0: &a0 [1, 2]\n{levels}")
    assert "too large with its aliases written out" in found[2]


def with_settings(text, *settings):
    written = parse(text, "c.yaml")
    override(written, settings)
    return written


def test_settings_change_make_and_replace():
    written = with_settings(
        TEXT, "grid.interval=1h", "new.section.key=[1, a]", "spans.1={from: 2005-01-01}", "name="
    )
    assert written.mistakes == []
    assert written.data["grid"]["interval"] == "1h"
    assert written.data["new"] == {"section": {"key": [1, "a"]}}
    assert written.data["spans"][1] == {"from": datetime(2005, 1, 1, tzinfo=UTC)}
    assert written.data["name"] is None
    assert written.place(("grid", "interval")).where == "--set grid.interval"
    assert written.place(("grid", "interval")).text == "1h"
    assert written.place(("new", "section", "key", 1)).where == "--set new.section.key"
    assert written.place(("new", "section")).where == "--set new.section.key"
    assert written.place(("grid", "deep")).where == "c.yaml:5:3"


def test_settings_of_an_empty_config_and_in_order():
    written = with_settings("", "a.b=1", "a.b=2", "a.c=x=y")
    assert written.data == {"a": {"b": 2, "c": "x=y"}}


def test_a_replaced_section_forgets_its_old_places():
    written = with_settings(TEXT, "grid={interval: 1h}")
    assert written.place(("grid", "deep", "a")).where == "--set grid"


@pytest.mark.parametrize(
    ("setting", "where", "message"),
    [
        ("name", "--set name", "must read key=value"),
        ("=5", "--set =5", "must read key=value"),
        ("a..b=5", "--set a..b=5", "must read key=value"),
        ("a=[1", "--set a", "not valid YAML: "),
        ("a={b: 1, b: 2}", "--set a", "the same key stands on line 1"),
        ("name.first=5", "--set name.first", "name has no such key or item to set"),
        ("spans.7=x", "--set spans.7", "spans has no such key or item to set"),
        ("spans.last=x", "--set spans.last", "spans has no such key or item to set"),
    ],
)
def test_settings_that_cannot_be_made(setting, where, message):
    written = with_settings(TEXT, setting)
    (mistake,) = written.mistakes
    assert mistake.place.where == where
    assert message in mistake.message
    assert written.data == read(TEXT)


words = st.text("ab1:-.[]{}&*!|>%@`#, \n\t\"'", max_size=40)


@given(words)
def test_any_text_gives_data_or_mistakes_and_never_raises(text):
    written = parse(text, "c.yaml")
    override(written, [f"a.b={text}"] if not written.mistakes else [])
    assert written.places[()]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc -:é"),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("ab", min_size=1), below),
    max_leaves=10,
)


@given(plain)
def test_what_yaml_writes_is_read_back_the_same(data):
    assert read(yaml.safe_dump(data, allow_unicode=True)) == data
