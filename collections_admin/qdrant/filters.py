"""A small language of conditions on payload fields, turned into Qdrant's filter messages.

    And(Equals("document_id", "7"), IsEmpty("archived_at"), Not(AnyOf("meta.lang", ("de", "fr"))))

Conditions are frozen and hashable, so one that is asked again (the same page of many people) is built once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as pb

from collections_admin.errors import InvalidInput
from collections_admin.qdrant.values import INT64_MAX, INT64_MIN, PointId, id_message

Scalar = str | int | float | bool | datetime
MAX_EXACT_FLOAT = 2**53


def _kinds(*values: object) -> tuple[type, ...]:
    """Part of a condition's identity: 1, 1.0 and True are equal in Python and three things in Qdrant."""
    return tuple(type(value) for value in values)


@dataclass(frozen=True, slots=True)
class Equals:
    key: str
    value: Scalar
    kinds: tuple[type, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", _kinds(self.value))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several strings, or one of several integers. Of none: matches nothing."""

    key: str
    values: tuple[str, ...] | tuple[int, ...]
    kinds: tuple[type, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "kinds", _kinds(*self.values))


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers or aware datetimes; bounds left out do not bind."""

    key: str
    gte: float | datetime | None = None
    lte: float | datetime | None = None
    gt: float | datetime | None = None
    lt: float | datetime | None = None


@dataclass(frozen=True, slots=True)
class TextMatch:
    """`all` words, `any` word, or the `phrase`. Without a text index Qdrant looks for the text as it is."""

    key: str
    text: str
    mode: Literal["all", "any", "phrase"] = "all"


@dataclass(frozen=True, slots=True)
class IsEmpty:
    """Missing, null or an empty list."""

    key: str


@dataclass(frozen=True, slots=True)
class IsNull:
    key: str


@dataclass(frozen=True, slots=True)
class HasId:
    ids: tuple[PointId, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))


@dataclass(frozen=True, slots=True)
class Not:
    condition: "Filter"


@dataclass(frozen=True, slots=True, init=False)
class And:
    """All of the conditions; without any, everything matches. None among them is left out."""

    conditions: tuple["Filter", ...]

    def __init__(self, *conditions: "Filter | None") -> None:
        object.__setattr__(self, "conditions", _given(conditions))


@dataclass(frozen=True, slots=True, init=False)
class Or:
    """At least one of the conditions; without any, nothing is asked and everything matches."""

    conditions: tuple["Filter", ...]

    def __init__(self, *conditions: "Filter | None") -> None:
        object.__setattr__(self, "conditions", _given(conditions))


Filter = Equals | AnyOf | Range | TextMatch | IsEmpty | IsNull | HasId | Not | And | Or


def _given(conditions: Iterable[Filter | None]) -> tuple[Filter, ...]:
    return tuple(condition for condition in conditions if condition is not None)


@lru_cache(maxsize=512)
def filter_message(condition: Filter) -> pb.Filter:
    """The message of a condition. Do not change it: it is shared. Raises InvalidInput naming the key."""
    match condition:
        case And(conditions=parts):
            return pb.Filter(must=[_condition(part) for part in parts])
        case Or(conditions=parts):
            return pb.Filter(should=[_condition(part) for part in parts])
        case Not(condition=part):
            return pb.Filter(must_not=[_condition(part)])
    return pb.Filter(must=[_condition(condition)])


def _condition(condition: Filter) -> pb.Condition:
    match condition:
        case And() | Or() | Not():
            return pb.Condition(filter=filter_message(condition))
        case HasId(ids=ids):
            return pb.Condition(has_id=pb.HasIdCondition(has_id=[id_message(point_id) for point_id in ids]))
        case AnyOf(values=()):
            return pb.Condition(has_id=pb.HasIdCondition(has_id=[]))
        case IsEmpty(key=key):
            return pb.Condition(is_empty=pb.IsEmptyCondition(key=_key(key)))
        case IsNull(key=key):
            return pb.Condition(is_null=pb.IsNullCondition(key=_key(key)))
    return pb.Condition(field=_field(condition))


def _field(condition: Equals | AnyOf | Range | TextMatch) -> pb.FieldCondition:
    key = _key(condition.key)
    match condition:
        case Equals(value=datetime() | float() as value):
            return _range(Range(key, gte=value, lte=value))
        case Equals(value=value):
            return pb.FieldCondition(key=key, match=_match_value(key, value))
        case AnyOf(values=values):
            return pb.FieldCondition(key=key, match=_match_any(key, values))
        case TextMatch(text=text, mode=mode):
            words = {"all": "text", "any": "text_any", "phrase": "phrase"}[mode]
            return pb.FieldCondition(key=key, match=pb.Match(**{words: _text(key, text)}))
    return _range(condition)


def _match_value(key: str, value: object) -> pb.Match:
    if isinstance(value, bool):
        return pb.Match(boolean=value)
    if isinstance(value, int):
        return pb.Match(integer=_integer(key, value))
    return pb.Match(keyword=_text(key, value))


def _match_any(key: str, values: tuple[object, ...]) -> pb.Match:
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return pb.Match(integers=pb.RepeatedIntegers(integers=[_integer(key, value) for value in values]))
    return pb.Match(keywords=pb.RepeatedStrings(strings=[_text(key, value) for value in values]))


def _range(condition: Range) -> pb.FieldCondition:
    bounds = {name: bound for name in ("gte", "lte", "gt", "lt") if (bound := getattr(condition, name)) is not None}
    if not bounds:
        raise InvalidInput(condition.key, "A range needs at least one bound.")
    if all(isinstance(bound, datetime) for bound in bounds.values()):
        stamps = {name: _timestamp(condition.key, bound) for name, bound in bounds.items()}
        return pb.FieldCondition(key=condition.key, datetime_range=pb.DatetimeRange(**stamps))
    numbers = {name: _number(condition.key, bound) for name, bound in bounds.items()}
    return pb.FieldCondition(key=condition.key, range=pb.Range(**numbers))


def _timestamp(key: str, moment: datetime) -> Timestamp:
    if moment.tzinfo is None:
        raise InvalidInput(key, "A time needs a time zone.")
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def _number(key: str, bound: object) -> float:
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise InvalidInput(key, "The bounds of a range are two numbers or two times.")
    if not -MAX_EXACT_FLOAT <= bound <= MAX_EXACT_FLOAT:
        raise InvalidInput(key, f"A range is exact only between -{MAX_EXACT_FLOAT} and {MAX_EXACT_FLOAT}.")
    return float(bound)


def _integer(key: str, value: int) -> int:
    if not INT64_MIN <= value <= INT64_MAX:
        raise InvalidInput(key, "The number does not fit into 64 bits.")
    return value


def _key(key: str) -> str:
    if not key:
        raise InvalidInput("filter", "A condition needs the name of a field.")
    return _text("filter", key)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(key, f"A filter compares text, numbers, times or true/false, not {type(value).__name__}.")
    if "\0" in value:
        raise InvalidInput(key, "The text contains a NUL character.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(key, "The text contains half of a surrogate pair.") from error
    return value
