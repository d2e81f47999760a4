"""Checks of texts, names and payloads before they reach the database or Qdrant.

Neither PostgreSQL nor protobuf takes everything a JSON parser lets through: NUL bytes, halves of surrogate
pairs, integers beyond 64 bits, NaN. Each function raises InvalidInput naming the field (`meta.labels[3]`) and
the limit.
"""

import math
import re
from typing import Any

from collections_admin.errors import InvalidInput
from collections_admin.limits import (
    MAX_EXTERNAL_ID_CHARS,
    MAX_INTEGER,
    MAX_KEY_CHARS,
    MAX_META_BYTES,
    MAX_META_KEYS,
    MAX_NESTING,
    MAX_TABLE_NAME_CHARS,
    MIN_INTEGER,
)

TABLE_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def clean_text(value: object, field: str, max_chars: int, *, required: bool = True) -> str:
    """The text without white space around it. None counts as empty, which is refused when `required`."""
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise InvalidInput(field, f"It must be text, not {_kind(value)}.")
    _check_storable(value, field)
    text = value.strip()
    if len(text) > max_chars:
        raise InvalidInput(field, f"It has {len(text):,} characters; at most {max_chars:,} are allowed.")
    if required and not text:
        raise InvalidInput(field, "It must not be empty.")
    return text


def check_external_id(value: object, field: str = "id") -> str:
    """The id of a record in the system it comes from: one line of text, or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        _check_integer(value, field)
        value = str(value)
    text = clean_text(value, field, MAX_EXTERNAL_ID_CHARS)
    if _CONTROL.search(text):
        raise InvalidInput(field, "It must be one line without control characters.")
    return text


def check_table_name(value: object, field: str = "table") -> str:
    """A table's name becomes part of collection names (`…__v3`): it cannot hold `__` or end with `_`."""
    name = clean_text(value, field, MAX_TABLE_NAME_CHARS)
    if not TABLE_NAME.match(name):
        raise InvalidInput(field, "It must begin with a letter a-z and hold only a-z, 0-9 and _.")
    if "__" in name or name.endswith("_"):
        raise InvalidInput(field, "It must not hold two _ in a row or end with _.")
    return name


def check_payload(
    value: object, field: str = "meta", *, max_bytes: int = MAX_META_BYTES, max_keys: int = MAX_META_KEYS
) -> dict[str, Any]:
    """The object itself if Qdrant can hold it and give it back. Its size counts about as its compact JSON."""
    if not isinstance(value, dict):
        raise InvalidInput(field, f"It must be an object with named values, not {_kind(value)}.")
    _PayloadCheck(field, max_bytes, max_keys).value(value, field, 1)
    return value


class _PayloadCheck:
    """One walk through a payload, counting keys and bytes so that it stops at the limit."""

    def __init__(self, field: str, max_bytes: int, max_keys: int) -> None:
        self.field = field
        self.max_bytes, self.bytes = max_bytes, 0
        self.max_keys, self.keys = max_keys, 0

    def value(self, value: object, path: str, depth: int) -> None:
        match value:
            case str():
                _check_storable(value, path)
                self.count(len(value.encode()) + 2)
            case None | bool():
                self.count(4)
            case int():
                _check_integer(value, path)
                self.count(len(str(value)))
            case float():
                if not math.isfinite(value):
                    raise InvalidInput(path, "It must be a number, not NaN or infinite.")
                self.count(len(repr(value)))
            case dict() | list():
                self.container(value, path, depth)
            case _:
                raise InvalidInput(path, f"A payload cannot hold {_kind(value)}.")

    def container(self, value: dict | list, path: str, depth: int) -> None:
        if depth > MAX_NESTING:
            raise InvalidInput(path, f"It is nested more than {MAX_NESTING} levels deep.")
        self.count(2 + len(value))
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.value(item, f"{path}[{index}]", depth + 1)
        else:
            for key, item in value.items():
                self.key(key, path)
                self.value(item, f"{path}.{key[:60]}", depth + 1)

    def key(self, key: object, path: str) -> None:
        self.keys += 1
        if self.keys > self.max_keys:
            raise InvalidInput(self.field, f"It has more than {self.max_keys:,} keys.")
        if not isinstance(key, str):
            raise InvalidInput(path, f"A key must be text, not {_kind(key)}.")
        if not key or len(key) > MAX_KEY_CHARS:
            raise InvalidInput(path, f"A key has {len(key):,} characters; it must have 1 to {MAX_KEY_CHARS}.")
        _check_storable(key, f"a key of {path}")
        self.count(len(key.encode()) + 3)

    def count(self, size: int) -> None:
        self.bytes += size
        if self.bytes > self.max_bytes:
            raise InvalidInput(self.field, f"It is larger than {self.max_bytes:,} bytes.")


def _check_storable(text: str, field: str) -> None:
    found = _UNSTORABLE.search(text)
    if found is None:
        return
    if found.group() == "\x00":
        raise InvalidInput(field, f"It holds a NUL character (position {found.start() + 1:,}).")
    raise InvalidInput(field, f"It holds half of a surrogate pair (position {found.start() + 1:,}).")


def _check_integer(value: int, field: str) -> None:
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise InvalidInput(field, f"The number must be between {MIN_INTEGER:,} and {MAX_INTEGER:,}.")


_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
    str: "text",
}


def _kind(value: object) -> str:
    return "nothing" if value is None else _KINDS.get(type(value), f"a value of type {type(value).__name__}")
