import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collections_admin.errors import InvalidInput
from collections_admin.services.validation import (
    check_external_id,
    check_payload,
    check_table_name,
    clean_text,
)


def refusal(function, *args, **kwargs):
    with pytest.raises(InvalidInput) as caught:
        function(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\x00b", "NUL"),
        ("a\ud800", "surrogate"),
        ("x" * 11, "11 characters; at most 10"),
        (5, "a number"),
        (True, "true or false"),
        (["a"], "a list"),
        ("", "empty"),
        (" \n ", "empty"),
        (None, "empty"),
    ],
)
def test_an_unusable_text_is_refused_with_its_reason(value, words):
    error = refusal(clean_text, value, "title", 10)
    assert error.field == "title"
    assert words in error.message


def test_a_text_is_stripped_before_it_is_measured():
    assert clean_text("  " + "x" * 10 + "  ", "title", 10) == "x" * 10


def test_a_text_that_is_not_required_may_be_missing():
    assert clean_text(None, "title", 10, required=False) == ""


def nested(levels):
    value = "leaf"
    for _ in range(levels):
        value = [value]
    return {"deep": value}


@pytest.mark.parametrize(
    ("payload", "field", "words"),
    [
        ({"labels": ["a", "b", {"x": "\x00"}]}, "meta.labels[2].x", "NUL"),
        ({"a": {"b": "\udc00"}}, "meta.a.b", "surrogate"),
        ({"n": 2**63}, "meta.n", "9,223,372,036,854,775,807"),
        ({"n": -(2**63) - 1}, "meta.n", "between"),
        ({"n": 10**5000}, "meta.n", "between"),
        ({"x": float("nan")}, "meta.x", "NaN"),
        ({"x": [float("-inf")]}, "meta.x[0]", "infinite"),
        ({"x" * 257: 1}, "meta", "256"),
        ({"": 1}, "meta", "0 characters"),
        ({"a\x00": 1}, "a key of meta", "NUL"),
        ({1: 1}, "meta", "key"),
        ({"x": b"bytes"}, "meta.x", "bytes"),
        ({"x": (1, 2)}, "meta.x", "tuple"),
        ({"x": "y" * 64_000}, "meta", "64,000 bytes"),
        ({str(number): None for number in range(1001)}, "meta", "1,000 keys"),
        ([1], "meta", "object"),
        (None, "meta", "object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_payload_that_qdrant_cannot_hold_is_refused_by_path(payload, field, words):
    error = refusal(check_payload, payload)
    assert error.field == field
    assert words in error.message


def test_nesting_ends_at_sixteen_levels():
    assert check_payload(nested(15))
    assert "16 levels" in refusal(check_payload, nested(16)).message


def test_even_absurd_nesting_is_only_refused():
    assert "16 levels" in refusal(check_payload, nested(100_000)).message


def test_a_payload_may_hold_the_largest_integers():
    assert check_payload({"low": -(2**63), "high": 2**63 - 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
@settings(deadline=None, max_examples=200)
def test_an_accepted_payload_survives_strict_json_and_utf8(payload):
    try:
        check_payload(payload)
    except InvalidInput:
        return
    encoded = json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    assert json.loads(encoded) == payload
    assert b"\\u0000" not in encoded


@pytest.mark.parametrize(
    ("value", "expected"), [("A-1", "A-1"), (" x ", "x"), (42, "42"), ("日本", "日本"), (-7, "-7")]
)
def test_an_external_id_is_a_line_of_text_or_a_whole_number(value, expected):
    assert check_external_id(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", " ", None, True, 1.5, {}, "a\nb", "a\x7f", "a\u2028b", "x" * 256, 2**63, pytest.param(10**5000, id="huge")],
)
def test_other_external_ids_are_refused(value):
    assert refusal(check_external_id, value).field == "id"


@pytest.mark.parametrize("name", ["a", "work_items", "t1", "x" * 63])
def test_table_names_that_fit_collection_names_pass(name):
    assert check_table_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "1a", "_a", "a_", "a__b", "A", "a-b", "items__v3", "é", "a b", "a\nb", "x" * 64, None, 5, "a\x00", "٣"]
)
def test_other_table_names_are_refused(name):
    assert refusal(check_table_name, name).field == "table"
