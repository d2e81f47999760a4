"""The filter box: `key:value` in a URL, conditions on payload fields in Qdrant.

    f=title:Handbook        the field equals the value (of several values of one field, any)
    f=-meta.lang:de         it does not
    f=rev:>3                also >=, <, <=, and for numbers and dates
    f=chunk_index:0..5      from and to, both included; either may be left out
    f=meta.author:*         the field has a value at all
    f=meta.page:"12"        the text 12, never the number

`q` looks for words in the text of the chunk, `archived` is live (unless given), archived or all.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Self
from urllib.parse import urlencode

from collections_admin.errors import InvalidInput
from collections_admin.limits import MAX_INTEGER, MIN_INTEGER
from collections_admin.qdrant.filters import And, Equals, Filter, IsEmpty, Not, Or, Range, TextMatch
from collections_admin.services.validation import clean_text

MAX_FILTERS = 20
MAX_FILTER_CHARS = 600
MAX_WORDS_CHARS = 200
MAX_EXACT_NUMBER = 2**53

# The payload of every chunk; everything else of a record stands under `meta.`
FIELDS: dict[str, str] = {
    "document_id": "keyword",
    "external_id": "keyword",
    "title": "keyword",
    "chunk_index": "integer",
    "chunk_count": "integer",
    "content": "text",
    "content_hash": "keyword",
    "embedding_model": "keyword",
    "archived_at": "datetime",
    "indexed_at": "datetime",
    "rev": "integer",
    "table_name": "keyword",
    "tenant_id": "integer",
}
SUGGESTED_FIELDS = (
    "title",
    "external_id",
    "document_id",
    "chunk_index",
    "embedding_model",
    "rev",
    "indexed_at",
)

_PART = r'(?:"[^"]{1,256}"|[^".:\[\]\s]{1,256})'
_FILTER = re.compile(rf"(?P<minus>-?)(?P<key>{_PART}(?:\.{_PART})*):(?P<value>.*)\Z", re.DOTALL)
_TYPED = re.compile(rf'(?:^|(?<=\s))-?(?:{"|".join(FIELDS)}|meta(?:\.{_PART})+):(?:"[^"]*"|[^\s"]\S*)', re.ASCII)
_PLAIN_PART = re.compile(r"[A-Za-z0-9_-]+\Z")
_COMPARISON = re.compile(r"(?P<sign>[<>]=?)\s*(?P<bound>.*)\Z", re.DOTALL)
_FROM_TO = re.compile(r"(?P<low>[^\s]*?)\.\.(?P<high>[^\s]*)\Z")
_INTEGER = re.compile(r"[+-]?\d{1,25}\Z")
_NUMBER = re.compile(r"[+-]?(?:\d{1,25}(?:\.\d{0,25})?|\.\d{1,25})(?:[eE][+-]?\d{1,3})?\Z")
_SIGNS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


class Archived(StrEnum):
    LIVE = "live"
    ARCHIVED = "archived"
    ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldFilter:
    """One `f`. `is_match` filters of one field are alternatives of each other."""

    key: str
    value: str
    is_negated: bool = False
    is_match: bool = True
    condition: Filter

    @property
    def text(self) -> str:
        return f"{'-' if self.is_negated else ''}{self.key}:{self.value}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadFilters:
    """What a list of chunks is narrowed by; reads the parameters of a URL and writes them back."""

    fields: tuple[FieldFilter, ...] = ()
    words: str = ""
    archived: Archived = Archived.LIVE
    usual: Archived = Archived.LIVE  # what holds when a URL says nothing of it

    @classmethod
    def parse(cls, *, f: Iterable[str] = (), q: str = "", archived: str = "", usual: Archived = Archived.LIVE) -> Self:
        """Raises InvalidInput naming `f`, `q` or `archived`."""
        rest, typed = _split_words(q)
        given = [text for text in (*f, *typed) if text]
        if len(given) > MAX_FILTERS:
            raise InvalidInput("f", f"There are {len(given):,} filters; at most {MAX_FILTERS} can be combined.")
        fields = tuple(dict.fromkeys(parse_filter(text) for text in given))
        words = clean_text(rest, "q", MAX_WORDS_CHARS, required=False)
        return cls(fields=fields, words=words, archived=_archived(archived or usual), usual=usual)

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def count(self) -> int:
        return len(self.fields) + bool(self.words) + (self.archived is not self.usual)

    def condition(self) -> Filter:
        """All of it as one condition; without any filter it leaves out archived chunks alone."""
        parts: list[Filter | None] = [_archived_condition(self.archived)]
        parts += [_alternatives(found) for found in _by_field(self.fields).values()]
        parts += [_negated(field) for field in self.fields if field.is_negated]
        parts += [field.condition for field in self.fields if not field.is_negated and not field.is_match]
        parts.append(TextMatch("content", self.words) if self.words else None)
        return And(*parts)

    def parameters(self, *, words: str = "q") -> list[tuple[str, str]]:
        """Names and values for a URL; `words` is the name that the page reads the words from."""
        pairs = [("f", field.text) for field in self.fields]
        if self.words:
            pairs.append((words, self.words))
        if self.archived is not self.usual:
            pairs.append(("archived", self.archived.value))
        return pairs

    def query_string(self, **more: object) -> str:
        """`?f=…&q=…` with further parameters, of which empty ones are left out; empty when there is none."""
        pairs = self.parameters() + [(key, str(value)) for key, value in more.items() if value not in {None, ""}]
        return f"?{urlencode(pairs)}" if pairs else ""

    def without(self, field: FieldFilter) -> Self:
        return replace(self, fields=tuple(kept for kept in self.fields if kept != field))

    def without_field(self, key: str) -> Self:
        return replace(self, fields=tuple(kept for kept in self.fields if kept.key != key))


def _split_words(text: str) -> tuple[str, list[str]]:
    """What stays of a typed text, and the filters in it: the box works without its script."""
    if len(text) > MAX_FILTERS * MAX_FILTER_CHARS:
        raise InvalidInput("q", f"The text has {len(text):,} characters; at most {MAX_WORDS_CHARS} are allowed.")
    typed = [found[0].strip() for found in _TYPED.finditer(text)]
    return " ".join(_TYPED.sub(" ", text).split()) if typed else text, typed


def literal(value: object) -> str:
    """A value of a facet so that the grammar reads it back as that very value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    is_plain = value.strip() == value and not value.startswith((">", "<", '"')) and value != "*"
    is_text = is_plain and ".." not in value and _readings(value) == [value]
    return value if is_text else f'"{value}"'


def parse_filter(text: str) -> FieldFilter:
    """Raises InvalidInput (field `f`) saying what is wrong with it."""
    text = clean_text(text, "f", MAX_FILTER_CHARS)
    found = _FILTER.match(text)
    if found is None:
        raise InvalidInput(
            "f", f"{_short(text)} is not a filter. Write field:value, for example meta.lang:en or rev:>3."
        )
    key, kind = _known(found["key"])
    value = found["value"].strip()
    if not value:
        raise InvalidInput("f", f"The filter {_short(text)} has no value after the colon.")
    condition, is_match = _condition(key, kind, value)
    return FieldFilter(
        key=found["key"],
        value=value,
        is_negated=bool(found["minus"]),
        is_match=is_match,
        condition=condition,
    )


def payload_path(key: str) -> str:
    """The key of the grammar as Qdrant's path: parts that are not plain letters and digits are quoted."""
    parts = re.findall(_PART, key)
    return ".".join(part if part[0] == '"' or _PLAIN_PART.match(part) else f'"{part}"' for part in parts)


def _known(key: str) -> tuple[str, str]:
    if key in FIELDS:
        return key, FIELDS[key]
    if key.startswith("meta."):
        return payload_path(key), "any"
    known = ", ".join(FIELDS)
    raise InvalidInput("f", f"There is no field {_short(key)}. Chunks have {known}, and meta.<name> for metadata.")


def _archived(text: str) -> Archived:
    try:
        return Archived(text)
    except ValueError as error:
        raise InvalidInput("archived", f"It is live, archived or all, not {_short(text)}.") from error


def _archived_condition(archived: Archived) -> Filter | None:
    if archived is Archived.LIVE:
        return IsEmpty("archived_at")
    return Not(IsEmpty("archived_at")) if archived is Archived.ARCHIVED else None


def _by_field(fields: Iterable[FieldFilter]) -> Mapping[str, list[FieldFilter]]:
    groups: dict[str, list[FieldFilter]] = {}
    for field in fields:
        if field.is_match and not field.is_negated:
            groups.setdefault(field.key, []).append(field)
    return groups


def _alternatives(fields: list[FieldFilter]) -> Filter:
    return fields[0].condition if len(fields) == 1 else Or(*(field.condition for field in fields))


def _negated(field: FieldFilter) -> Filter:
    return field.condition.condition if isinstance(field.condition, Not) else Not(field.condition)


def _condition(key: str, kind: str, value: str) -> tuple[Filter, bool]:
    """The condition and whether it is a plain match."""
    if value == "*":
        return Not(IsEmpty(key)), False
    if kind == "text":
        return TextMatch(key, _unquoted(value)), False
    if value[0] == '"' and value[-1] == '"' and len(value) > 2:
        if kind in {"integer", "datetime"}:
            value = _unquoted(value)
        else:
            return Equals(key, _unquoted(value)), True
    found = _range(key, kind, value) if kind != "keyword" else None
    return (found, False) if found else _equals(key, kind, value)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 2 and value[0] == '"' and value[-1] == '"' else value


def _equals(key: str, kind: str, value: str) -> tuple[Filter, bool]:
    match kind:
        case "integer":
            return Equals(key, _integer(key, value)), True
        case "datetime":
            return Range(key, **_bounds(key, kind, gte=value, lte=value)), False
        case "keyword":
            return Equals(key, value), True
    return Or(*(Equals(key, reading) for reading in _readings(value))), True


def _readings(value: str) -> list[str | int | float | bool]:
    """Metadata has no declared types: 12 may be a text or a number, true a text or a truth."""
    readings: list[str | int | float | bool] = [value]
    if value in {"true", "false"}:
        readings.append(value == "true")
    elif _INTEGER.match(value) and MIN_INTEGER <= int(value) <= MAX_INTEGER:
        readings.append(int(value))
    elif _NUMBER.match(value) and abs(float(value)) <= MAX_EXACT_NUMBER:
        readings.append(float(value))
    return readings


def _range(key: str, kind: str, value: str) -> Range | None:
    if found := _COMPARISON.match(value):
        return Range(key, **_bounds(key, kind, **{_SIGNS[found["sign"]]: found["bound"]}))
    found = _FROM_TO.match(value)
    if found is None or (kind == "any" and not _looks_like_bounds(found["low"], found["high"])):
        return None
    if not found["low"] and not found["high"]:
        raise InvalidInput("f", f"The range of {key} needs an end, such as 0..5, 3.. or ..5.")
    return Range(key, **_bounds(key, kind, gte=found["low"], lte=found["high"]))


def _looks_like_bounds(*texts: str) -> bool:
    return all(not text or _NUMBER.match(text) or _day(text) or _moment(text) for text in texts) and any(texts)


def _bounds(key: str, kind: str, **given: str) -> dict[str, float | datetime]:
    """Bounds by Qdrant's names (gt, gte, lt, lte). A day counts whole: up to it means before the next one."""
    bounds: dict[str, float | datetime] = {}
    for name, text in given.items():
        if text:
            bounds.update(_bound(key, kind, name, text))
    if not bounds:
        raise InvalidInput("f", f"The range of {key} has no number or date after the sign.")
    if len({type(bound) is datetime for bound in bounds.values()}) > 1:
        raise InvalidInput("f", f"The range of {key} mixes a number and a date.")
    return bounds


def _bound(key: str, kind: str, name: str, text: str) -> dict[str, float | datetime]:
    if kind != "datetime" and _NUMBER.match(text):
        return {name: _number(key, text)}
    if kind != "integer" and (day := _day(text)):
        follows = name in {"gt", "lte"}
        return {{"gt": "gte", "lte": "lt"}.get(name, name): day + timedelta(days=follows)}
    if kind != "integer" and (moment := _moment(text)):
        return {name: moment}
    wanted = {"integer": "a number", "datetime": "a date such as 2026-11-20 or 2026-11-20T12:00"}
    raise InvalidInput(
        "f", f"{key} is compared with {wanted.get(kind, 'a number or a date')}, not with {_short(text)}."
    )


def _integer(key: str, text: str) -> int:
    if not _INTEGER.match(text):
        raise InvalidInput("f", f"{key} is a whole number, not {_short(text)}.")
    if not MIN_INTEGER <= int(text) <= MAX_INTEGER:
        raise InvalidInput("f", f"{key} must lie between {MIN_INTEGER:,} and {MAX_INTEGER:,}.")
    return int(text)


def _number(key: str, text: str) -> float:
    number = float(text)
    if abs(number) > MAX_EXACT_NUMBER:
        raise InvalidInput("f", f"{key} is compared with numbers up to {MAX_EXACT_NUMBER:,} (2^53).")
    return number


def _day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
    # The last day that has a next one.
    return datetime(day.year, day.month, day.day, tzinfo=UTC) if day and day.year < 9999 else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if len(text) > 10 else None
    except ValueError:
        return None
    if moment is None or not 1 < moment.year < 9999:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _short(text: str) -> str:
    return f"{text[:60]}…" if len(text) > 60 else text
