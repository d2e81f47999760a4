"""Each condition of the filter language, asked of the real node."""

from datetime import UTC, datetime, timedelta

import pytest

from collections_admin import qdrant as access
from collections_admin.errors import InvalidInput
from collections_admin.qdrant import And, AnyOf, Equals, HasId, IsEmpty, IsNull, Not, Or, Range, TextMatch
from collections_admin.qdrant.filters import filter_message
from tests.qdrant.faulty_server import FaultyServer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAYLOADS = {
    1: {"kind": "a", "n": 1, "flag": True, "at": NOON, "content": "The quick brown fox", "tags": ["x", "y"]},
    2: {"kind": "b", "n": 2, "flag": False, "at": NOON + timedelta(hours=1), "content": "the fox is brown"},
    3: {"kind": "c", "n": 3, "flag": True, "at": NOON + timedelta(days=1), "content": "A dog", "gone": None},
    4: {"kind": "1", "n": 2.5, "tags": [], "content": "quick"},
}
CASES = [
    (Equals("kind", "a"), {1}),
    (Equals("kind", "1"), {4}),
    (Equals("n", 2), {2}),
    (Equals("n", 2.5), {4}),
    (Equals("flag", True), {1, 3}),
    (Equals("flag", False), {2}),
    (Equals("at", NOON), {1}),
    (Equals("at", NOON.astimezone(None)), {1}),
    (Equals("tags", "y"), {1}),
    (AnyOf("kind", ("a", "c", "z")), {1, 3}),
    (AnyOf("n", (1, 3)), {1, 3}),
    (AnyOf("kind", ()), set()),
    (Range("n", gte=2), {2, 3, 4}),
    (Range("n", gt=2, lt=3), {4}),
    (Range("at", gt=NOON, lte=NOON + timedelta(hours=1)), {2}),
    (TextMatch("content", "brown fox"), {1, 2}),
    (TextMatch("content", "dog quick", mode="any"), {1, 3, 4}),
    (TextMatch("content", "nothing"), set()),
    (IsEmpty("tags"), {2, 3, 4}),
    (IsNull("gone"), {3}),
    (HasId((1, 4, 99)), {1, 4}),
    (Not(Equals("kind", "a")), {2, 3, 4}),
    (Not(Not(Equals("kind", "a"))), {1}),
    (And(Equals("flag", True), Range("n", gt=1)), {3}),
    (And(), {1, 2, 3, 4}),
    (And(None, Equals("kind", "a"), None), {1}),
    (Or(Equals("kind", "a"), Equals("n", 3)), {1, 3}),
    (And(Or(Equals("kind", "a"), Equals("kind", "b")), Not(Equals("flag", False))), {1}),
    (Or(And(Equals("kind", "a"), Equals("n", 9)), Equals("kind", "b")), {2}),
]


async def test_each_condition_finds_what_it_says(proxied: FaultyServer) -> None:
    await access.ensure_collection("c__v1", "c", access.CollectionSpec(vector_size=1))
    points = [access.PointToWrite(id=number, vector=[1.0], payload=payload) for number, payload in PAYLOADS.items()]
    await access.upsert_points("c", points)
    found = {}
    for condition, _ in CASES:
        page = await access.scroll("c", condition, fields=())
        found[repr(condition)] = {point.id for point in page.points}
    assert found == {repr(condition): expected for condition, expected in CASES}


def test_equal_python_values_of_different_types_are_different_conditions() -> None:
    messages = [filter_message(Equals("n", value)) for value in (1, True, 1.0)]
    kinds = [message.must[0].field for message in messages]
    assert [kind.match.WhichOneof("match_value") for kind in kinds] == ["integer", "boolean", None]
    assert kinds[2].HasField("range")


def test_a_condition_asked_again_is_not_built_again() -> None:
    one, other = (And(Equals("document_id", "7"), IsEmpty("archived_at")) for _ in range(2))
    assert filter_message(one) is filter_message(other)


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (Equals("", "a"), "filter"),
        (Equals("a\0", "a"), "filter"),
        (Equals("a", "x\0"), "a"),
        (Equals("a", "\ud800"), "a"),
        (Equals("a", 2**63), "a"),
        (Equals("a", float("nan")), "a"),
        (Equals("a", datetime(2026, 1, 1)), "a"),
        (Equals("a", None), "a"),
        (Equals("a", b"x"), "a"),
        (AnyOf("a", (1, "b")), "a"),
        (AnyOf("a", (True, False)), "a"),
        (Range("a"), "a"),
        (Range("a", gte="1"), "a"),
        (Range("a", gte=2**53 + 2), "a"),
        (Range("a", gte=float("inf")), "a"),
        (Range("a", gte=1, lte=NOON), "a"),
        (TextMatch("a", "\ud800"), "a"),
        (HasId(("no-uuid",)), "point_id"),
        (Not(Equals("a", 2**63)), "a"),
    ],
)
def test_what_cannot_be_asked_names_the_field(condition: access.Filter, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        filter_message(condition)
    assert caught.value.field == field
