"""What becomes of values that screening suspects, as it is written in a config."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError

from gapcast.engine.units import MICROSECONDS, Duration, expecting, read_duration, write_duration


class Verdict(NamedTuple):
    """What becomes of values of one kind of fault: flag, reject or off; after how many
    microseconds."""

    action: str
    after: int

    @classmethod
    def read(cls, value: Any) -> Verdict:
        """From flag, reject, off, or a duration after which to reject."""
        if isinstance(value, cls):
            return value
        if value is False or value == "off":
            return cls("off", 0)
        if value in ("flag", "reject"):
            return cls(value, _BORNE)
        try:
            after = read_duration(value)
        except PydanticCustomError:
            raise expecting("flag, reject, off or a duration such as 3h") from None
        return cls("reject", after) if after else cls("off", 0)

    @classmethod
    def of_values(cls, value: Any) -> Verdict:
        """The same of single values, which have no duration: flag, true (reject) or false (off)."""
        if isinstance(value, cls):
            return value
        if value is True:
            value = "reject"
        if value is not False and value not in ("flag", "reject", "off"):
            raise expecting("flag, reject, off, true (reject) or false (off)")
        return cls.read(value)

    def write(self) -> str:
        """What `read` reads it from."""
        standing = self.action == "reject" and self.after != _BORNE
        return write_duration(self.after) if standing else self.action


_BORNE = 3 * MICROSECONDS["h"]
FLAG, REJECT = Verdict("flag", _BORNE), Verdict("reject", _BORNE)
_ACTIONS = [{"const": action} for action in ("flag", "reject", "off")]
OfValues = Annotated[
    Verdict,
    PlainValidator(Verdict.of_values),
    PlainSerializer(Verdict.write, return_type=str),
    WithJsonSchema({"anyOf": [*_ACTIONS, {"type": "boolean"}]}),
]
"""What becomes of outliers."""
OfSensors = Annotated[
    Verdict,
    PlainValidator(Verdict.read),
    PlainSerializer(Verdict.write, return_type=str),
    WithJsonSchema({"anyOf": [*_ACTIONS, TypeAdapter(Duration).json_schema()]}),
]
"""What becomes of sensors that fail, and when."""
