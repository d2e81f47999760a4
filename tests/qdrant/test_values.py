"""What cannot be stored so that it can be read back is refused with its path."""

import math
import uuid
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as pb

from collections_admin.errors import InvalidInput
from collections_admin.qdrant.values import (
    INT64_MAX,
    INT64_MIN,
    dense_message,
    id_message,
    read_id,
    read_payload,
    write_payload,
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(INT64_MIN, INT64_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def _through_bytes(payload: dict[str, object]) -> dict[str, object]:
    point = pb.RetrievedPoint()
    write_payload(point.payload, payload)
    return read_payload(pb.RetrievedPoint.FromString(point.SerializeToString()).payload)


def _nested(levels: int) -> object:
    value: object = "deep"
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


@given(st.dictionaries(texts, values, max_size=4))
def test_payloads_come_back_as_they_went(payload: dict[str, object]) -> None:
    assert _through_bytes(payload) == payload


def test_times_and_uuids_are_stored_as_text() -> None:
    moment, identity = datetime(2026, 11, 20, 12, tzinfo=UTC), uuid.UUID(int=7)
    assert _through_bytes({"at": moment, "id": identity}) == {"at": "2026-11-20T12:00:00+00:00", "id": str(identity)}


def test_sixteen_levels_are_stored_and_seventeen_refused() -> None:
    payload = {"deep": _nested(15)}
    assert _through_bytes(payload) == payload
    with pytest.raises(InvalidInput, match="deeper than 16 levels") as caught:
        _through_bytes({"deep": _nested(16)})
    assert caught.value.field.startswith("deep")


def test_a_payload_that_contains_itself_is_refused() -> None:
    circle: dict[str, object] = {}
    circle["again"] = circle
    with pytest.raises(InvalidInput, match="deeper than 16 levels"):
        _through_bytes(circle)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        ({1, 2}, "type set"),
        (b"bytes", "type bytes"),
        ({1: "a"}, "must be text"),
        ({"a\0": 1}, "NUL"),
    ],
)
def test_a_value_that_cannot_be_stored_is_named_by_its_path(value: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        _through_bytes({"fine": 1, "meta": {"list": [0, value]}})
    assert caught.value.field == "meta.list[1]"


@pytest.mark.parametrize("vector", [[], [math.nan], [math.inf, 1], ["a"], [None], "text", 5, [[1.0]], np.zeros((2, 2))])
def test_only_rows_of_finite_numbers_are_vectors(vector: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        dense_message(vector)
    assert caught.value.field == "vector"


@pytest.mark.parametrize("size", [1, 31, 32, 384, 5000])
def test_arrays_are_packed_as_the_client_packs_lists(size: int) -> None:
    numbers = np.random.default_rng(1).standard_normal(size)
    expected = pb.DenseVector(data=numbers.tolist())
    assert dense_message(numbers) == dense_message(numbers.tolist()) == expected


@pytest.mark.parametrize("point_id", [0, 2**64 - 1, str(uuid.UUID(int=2**127))])
def test_ids_come_back_as_they_went(point_id: int | str) -> None:
    assert read_id(id_message(point_id)) == point_id
    assert read_id(id_message(str(point_id))) == point_id
