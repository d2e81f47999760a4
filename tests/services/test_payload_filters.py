from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collections_admin.errors import InvalidInput
from collections_admin.qdrant import And, Equals, IsEmpty, Not, Or, Range, TextMatch
from collections_admin.qdrant.filters import filter_message
from collections_admin.services.payload_filters import (
    MAX_FILTER_CHARS,
    MAX_FILTERS,
    Archived,
    PayloadFilters,
    literal,
    parse_filter,
    payload_path,
)

LIVE = IsEmpty("archived_at")


def condition_of(*f: str) -> object:
    return PayloadFilters.parse(f=f).condition()


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("title:Hand book", Equals("title", "Hand book")),
        ("title:a:b", Equals("title", "a:b")),
        ("title:>3", Equals("title", ">3")),
        ('title:">3"', Equals("title", ">3")),
        ("external_id:12", Equals("external_id", "12")),
        ("rev:3", Equals("rev", 3)),
        ("rev:-3", Equals("rev", -3)),
        ("rev:>3", Range("rev", gt=3)),
        ("rev:>=3", Range("rev", gte=3)),
        ("rev:<3.5", Range("rev", lt=3.5)),
        ("rev:<= 3", Range("rev", lte=3)),
        ("chunk_index:0..5", Range("chunk_index", gte=0, lte=5)),
        ("chunk_index:3..", Range("chunk_index", gte=3)),
        ("chunk_index:..5", Range("chunk_index", lte=5)),
        ("content:legal hold", TextMatch("content", "legal hold")),
        ("archived_at:*", Not(IsEmpty("archived_at"))),
        ("meta.lang:en", Or(Equals("meta.lang", "en"))),
        ("meta.page:12", Or(Equals("meta.page", "12"), Equals("meta.page", 12))),
        ('meta.page:"12"', Equals("meta.page", "12")),
        ("meta.share:0.5", Or(Equals("meta.share", "0.5"), Equals("meta.share", 0.5))),
        ("meta.open:true", Or(Equals("meta.open", "true"), Equals("meta.open", True))),
        ("meta.page:>12", Range("meta.page", gt=12)),
        ("meta.version:a..b", Or(Equals("meta.version", "a..b"))),
        ('meta."a.b":x', Or(Equals('meta."a.b"', "x"))),
        ("meta.größe:5", Or(Equals('meta."größe"', "5"), Equals('meta."größe"', 5))),
    ],
)
def test_each_form_of_the_grammar_becomes_its_condition(text: str, condition: object) -> None:
    assert parse_filter(text).condition == condition
    assert condition_of(text) == And(LIVE, condition)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("indexed_at:2026-11-20", {"gte": (20, 0), "lt": (21, 0)}),
        ("indexed_at:>2026-11-20", {"gte": (21, 0)}),
        ("indexed_at:<=2026-11-20", {"lt": (21, 0)}),
        ("indexed_at:2026-11-18..2026-11-20", {"gte": (18, 0), "lt": (21, 0)}),
        ("indexed_at:>2026-11-20T12:00", {"gt": (20, 12)}),
        ("meta.seen:<2026-11-20T14:00+02:00", {"lt": (20, 12)}),
    ],
)
def test_a_day_counts_whole(text: str, bounds: dict[str, tuple[int, int]]) -> None:
    expected = {name: datetime(2026, 11, day, hour, tzinfo=UTC) for name, (day, hour) in bounds.items()}
    found = parse_filter(text).condition
    assert {name: getattr(found, name) for name in expected} == expected


def test_values_of_one_field_are_alternatives_and_fields_are_combined() -> None:
    assert condition_of("title:a", "rev:>1", "title:b", "-external_id:c") == And(
        LIVE,
        Or(Equals("title", "a"), Equals("title", "b")),
        Not(Equals("external_id", "c")),
        Range("rev", gt=1),
    )


def test_no_value_at_all_is_the_negation_of_any_value() -> None:
    assert condition_of("-meta.lang:*") == And(LIVE, IsEmpty("meta.lang"))


@pytest.mark.parametrize(
    ("archived", "conditions"),
    [("", [LIVE]), ("live", [LIVE]), ("archived", [Not(LIVE)]), ("all", [])],
)
def test_archived_chunks_are_left_out_unless_asked_for(archived: str, conditions: list) -> None:
    assert PayloadFilters.parse(archived=archived).condition() == And(*conditions)


@pytest.mark.parametrize(
    ("parameters", "field", "words"),
    [
        ({"f": ["bad"]}, "f", "bad is not a filter"),
        ({"f": [":x"]}, "f", "is not a filter"),
        ({"f": ["foo:1"]}, "f", "no field foo"),
        ({"f": ["meta.:x"]}, "f", "is not a filter"),
        ({"f": ["rev:"]}, "f", "no value"),
        ({"f": ["rev:x"]}, "f", "whole number"),
        ({"f": ["rev:1.5"]}, "f", "whole number"),
        ({"f": ["rev:" + "9" * 20]}, "f", "must lie between"),
        ({"f": ["rev:>1e300"]}, "f", "2^53"),
        ({"f": ["rev:>"]}, "f", "no number or date"),
        ({"f": ["rev:.."]}, "f", "needs an end"),
        ({"f": ["meta.d:1..2026-01-01"]}, "f", "mixes"),
        ({"f": ["meta.x:>abc"]}, "f", "a number or a date"),
        ({"f": ["indexed_at:2026-13-01"]}, "f", "a date"),
        ({"f": ["indexed_at:9999-12-31"]}, "f", "a date"),
        ({"f": ["title:a\0b"]}, "f", "NUL"),
        ({"f": ["title:\ud800"]}, "f", "surrogate"),
        ({"f": ["title:" + "x" * MAX_FILTER_CHARS]}, "f", str(MAX_FILTER_CHARS)),
        ({"f": ["rev:1"] * (MAX_FILTERS + 1)}, "f", str(MAX_FILTERS)),
        ({"q": "x" * 201}, "q", "200"),
        ({"q": "x" * 20_000}, "q", "200"),
        ({"q": "a\0b"}, "q", "NUL"),
        ({"q": "\udfff"}, "q", "surrogate"),
        ({"archived": "maybe"}, "archived", "live, archived or all"),
    ],
)
def test_bad_parameters_are_refused_with_their_name(parameters: dict, field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        PayloadFilters.parse(**parameters)
    assert refused.value.field == field
    assert words in refused.value.message


def test_a_page_may_show_archived_chunks_unless_told_otherwise() -> None:
    filters = PayloadFilters.parse(usual=Archived.ALL)
    assert not filters
    assert filters.query_string() == ""
    narrowed = PayloadFilters.parse(archived="live", usual=Archived.ALL)
    assert narrowed.query_string() == "?archived=live"


def test_parameters_are_written_back_as_they_were_read() -> None:
    filters = PayloadFilters.parse(f=["-meta.lang:de", "rev:>3", ""], q=" legal  hold ", archived="all")
    assert filters.count == 4
    assert filters.query_string(after="7~x", limit="") == (
        "?f=-meta.lang%3Ade&f=rev%3A%3E3&q=legal++hold&archived=all&after=7~x"
    )
    assert filters.without(filters.fields[0]).parameters()[0] == ("f", "rev:>3")


def test_filters_typed_among_the_words_are_understood_without_the_script() -> None:
    filters = PayloadFilters.parse(q='legal -meta.lang:de hold title:"A b" http://x.org foo:bar')
    assert [field.text for field in filters.fields] == ["-meta.lang:de", 'title:"A b"']
    assert filters.words == "legal hold http://x.org foo:bar"


@given(st.text(max_size=80))
def test_any_text_gives_a_filter_or_a_clear_refusal(text: str) -> None:
    with suppress(InvalidInput):
        filters = PayloadFilters.parse(f=[text], q=text)
        assert PayloadFilters.parse(f=[field.text for field in filters.fields]).fields == filters.fields
        filter_message(filters.condition())


STORABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(st.one_of(STORABLE, st.integers(-(2**63), 2**63 - 1), st.booleans()))
def test_a_value_of_a_facet_finds_itself_again(value: object) -> None:
    found = parse_filter(f"meta.a:{literal(value)}").condition
    assert Equals("meta.a", value) in (found.conditions if isinstance(found, Or) else (found,))


@pytest.mark.parametrize(
    ("key", "path"),
    [("title", "title"), ("meta.a-b_c", "meta.a-b_c"), ("meta.é", 'meta."é"'), ('meta."x y"', 'meta."x y"')],
)
def test_odd_names_are_quoted_for_qdrant(key: str, path: str) -> None:
    assert payload_path(key) == path
