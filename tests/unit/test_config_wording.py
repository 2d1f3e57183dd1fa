"""The words for what pydantic finds wrong, for the types a plugin's parameters may have."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, HttpUrl, PastDate, SecretStr, ValidationError, create_model

from gapcast.engine.config.positions import hold
from gapcast.engine.config.wording import Checked, explain


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


def told(kind, value):
    model = create_model("Model", key=(kind, ...))
    data = {"key": value}
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    ((path, message),) = explain(caught.value, Checked((), data, model), hold(data, "config"))
    assert path[:1] == ("key",)
    return message


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (bool, "maybe", "must be true or false, got 'maybe'"),
        (int, "x", "must be a whole number, got 'x'"),
        (int, 1.5, "must be a whole number, got 1.5"),
        (int, "9" * 5000, f"must be a whole number, got '{'9' * 60}...'"),
        (float, [1], "must be a number, got a list"),
        (Decimal, "x", "must be a number, got 'x'"),
        (str, 5, "must be text (in quotes if it reads as something else), got 5"),
        (SecretStr, 5, "must be text (in quotes if it reads as something else), got 5"),
        (bytes, 5, "must be text, got 5"),
        (date, "soon", "must be a day such as 2004-03-03, got 'soon'"),
        (
            date,
            datetime(2004, 3, 3, 5),
            "must be a day such as 2004-03-03, got 2004-03-03 05:00:00",
        ),
        (datetime, "soon", "must be a time such as 2004-03-03T00:00:00Z, got 'soon'"),
        (datetime, [], "must be a time such as 2004-03-03T00:00:00Z, got an empty list"),
        (time, "soon", "must be a time of day such as 06:30, got 'soon'"),
        (timedelta, "soon", "must be a length of time such as 01:30:00, got 'soon'"),
        (Path, 5, "must be a path, got 5"),
        (HttpUrl, "x", "must be a URL such as http://host:8080, got 'x'"),
        (HttpUrl, "ftp://x", "must be a URL that begins with 'http' or 'https', got 'ftp://x'"),
        (UUID, "x", "must be a UUID, got 'x'"),
        (list[int], "x", "must be a list, got 'x'"),
        (set[int], 5, "must be a list, got 5"),
        (frozenset[int], 5, "must be a list, got 5"),
        (tuple[int, ...], 5, "must be a list, got 5"),
        (dict[str, int], [1], "must be a section of keys, got a list"),
        (Cat, 5, "must be a section of keys, got 5"),
        (int | None, "x", "must be a whole number, got 'x'"),
        (int | Literal["auto"], "x", "must be a whole number or 'auto', got 'x'"),
        (Literal["csv", "parquet"], "cvs", "must be 'csv' or 'parquet' (perhaps 'csv'), got 'cvs'"),
        (Literal[1, 2], 3, "must be 1 or 2, got 3"),
        (Colour, "gren", "must be 'red' or 'green' (perhaps 'green'), got 'gren'"),
        (PastDate, "2999-01-01", "must be in the past, got '2999-01-01'"),
    ],
)
def test_a_value_of_another_kind(kind, value, expected):
    assert told(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "limit", "value", "expected"),
    [
        (int, {"gt": 0}, 0, "must be greater than 0, got 0"),
        (int, {"ge": 20_000_000}, 3, "must be greater than or equal to 20000000, got 3"),
        (float, {"lt": 1}, 3.5, "must be less than 1, got 3.5"),
        (float, {"lt": 0.25}, 1, "must be less than 0.25, got 1"),
        (float, {"le": 2}, 3, "must be less than or equal to 2, got 3"),
        (int, {"multiple_of": 5}, 3, "must be a multiple of 5, got 3"),
        (float, {"allow_inf_nan": False}, float("inf"), "must be a finite number, got inf"),
        (Decimal, {"max_digits": 2}, "123", "must have at most 2 digits"),
        (str, {"min_length": 1}, "", "must have at least 1 character"),
        (str, {"min_length": 2}, "x", "must have at least 2 characters"),
        (str, {"max_length": 1}, "xy", "must have at most 1 character"),
        (str, {"pattern": "^a$"}, "b", "must match pattern '^a$'"),
        (list[int], {"min_length": 1}, [], "must not be empty, got an empty list"),
        (list[int], {"min_length": 3}, [1], "must have at least 3 items"),
        (list[int], {"max_length": 1}, [1, 2], "must have at most 1 item"),
        (Cat | Dog, {"discriminator": "kind"}, {"kind": "s3cr3t"},
         "must have one of 'cat', 'dog' as 'kind'"),
        (Cat | Dog, {"discriminator": "kind"}, {}, "must have the key 'kind'"),
    ],
)  # fmt: skip
def test_a_value_beyond_a_limit(kind, limit, value, expected):
    assert told(Annotated[kind, Field(**limit)], value) == expected


def test_a_kind_of_error_that_is_not_known_here_is_told_in_pydantic_s_words():
    assert told(type, "x") == "Input should be a type"
