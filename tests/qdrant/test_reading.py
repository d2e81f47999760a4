"""Pages, counts and facets on the real node."""

import base64
import json

import pytest

from collections_admin import qdrant as access
from collections_admin.errors import InvalidInput, QdrantRejected
from tests.qdrant.faulty_server import FaultyServer

SPEC = access.CollectionSpec(vector_size=2)


@pytest.fixture
async def chunks(proxied: FaultyServer) -> str:
    """60 chunks: three documents of 20."""
    indexes = [index for index in access.PAYLOAD_INDEXES if index.field in {"document_id", "chunk_index"}]
    await access.ensure_collection("chunks__v1", "chunks", SPEC, indexes)
    await access.upsert_points("chunks", [_chunk(number) for number in range(60)])
    return "chunks"


def _chunk(number: int) -> access.PointToWrite:
    payload = {"document_id": f"d{number % 3}", "chunk_index": number // 3, "content": f"chunk number {number}"}
    return access.PointToWrite(id=number, vector=[1.0, number], payload=payload)


async def _all_pages(**options: object) -> list[access.Point]:
    points: list[access.Point] = []
    cursor = None
    while True:
        page = await access.scroll("chunks", cursor=cursor, **options)
        points.extend(page.points)
        cursor = page.next_cursor
        if cursor is None:
            return points


async def test_pages_follow_one_another_without_repeating_under_writes(chunks: str) -> None:
    seen, cursor = [], None
    while True:
        page = await access.scroll(chunks, limit=7, cursor=cursor)
        seen.extend(point.id for point in page.points)
        await access.delete_points(chunks, [page.points[0].id])
        await access.upsert_points(chunks, [_chunk(page.points[-1].id)])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == list(range(60))


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 20, 50])
async def test_the_chunks_of_a_document_come_in_order(chunks: str, direction: str, limit: int) -> None:
    condition = access.Equals("document_id", "d1")
    points = await _all_pages(condition=condition, limit=limit, order_by=access.OrderBy("chunk_index", direction))
    indexes = [point.payload["chunk_index"] for point in points]
    assert indexes == sorted(range(20), reverse=direction == "desc")


@pytest.mark.parametrize("limit", [2, 5, 7])
async def test_points_that_share_a_value_are_each_shown_once_in_order(chunks: str, limit: int) -> None:
    points = await _all_pages(limit=limit, order_by=access.OrderBy("chunk_index"))
    assert sorted(point.id for point in points) == list(range(60))
    indexes = [point.payload["chunk_index"] for point in points]
    assert indexes == sorted(indexes)


async def test_only_the_fields_asked_for_travel(chunks: str) -> None:
    page = await access.scroll(chunks, limit=3, fields=("chunk_index", "missing"))
    assert [point.payload for point in page.points] == [{"chunk_index": 0}] * 3
    assert {point.vector for point in page.points} == {None}
    bare = await access.scroll(chunks, limit=3, fields=())
    assert [point.payload for point in bare.points] == [{}] * 3


async def test_pages_of_heavy_points_are_cut_by_bytes(chunks: str) -> None:
    heavy = [access.PointToWrite(id=1000 + n, vector=[1, 1], payload={"content": "x" * 200_000}) for n in range(40)]
    await access.upsert_points(chunks, heavy)
    sizes, cursor, seen = [], "1000", []
    while cursor is not None:
        page = await access.scroll(chunks, limit=20, cursor=cursor)
        sizes.append(sum(len(point.payload["content"]) for point in page.points))
        seen.extend(point.id for point in page.points)
        cursor = page.next_cursor
    assert seen == list(range(1000, 1040))
    assert max(sizes[1:]) <= 2 * 1024 * 1024


@pytest.mark.parametrize(
    "cursor", ["x", "-1", "9" * 30, "\0", "1 OR 1", "\ud800", "00000000-0000-0000-0000-00000000000g"]
)
async def test_a_damaged_cursor_is_named(faulty: FaultyServer, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="start from the first page") as caught:
        await access.scroll("chunks", cursor=cursor)
    assert caught.value.field == "cursor"
    assert faulty.calls == []


@pytest.mark.parametrize(
    "content", [[], [1], [1, [2], 3], ["a", []], [2**70, []], [1, ["no id"]], {"a": 1}, "x", [[1], []], [None, []]]
)
async def test_a_damaged_ordered_cursor_is_named(faulty: FaultyServer, content: object) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    for damaged in (cursor, "=" + cursor, "é"):
        with pytest.raises(InvalidInput, match="start from the first page"):
            await access.scroll("chunks", cursor=damaged, order_by=access.OrderBy("chunk_index"))
    assert faulty.calls == []


@pytest.mark.parametrize("limit", [0, -1, 1001, "10", True, 2**70])
async def test_a_wrong_limit_names_its_bounds(faulty: FaultyServer, limit: object) -> None:
    with pytest.raises(InvalidInput, match="between 1 and 1000"):
        await access.scroll("chunks", limit=limit)
    assert faulty.calls == []


async def test_counts_are_exact_with_and_without_filter(chunks: str) -> None:
    assert await access.count(chunks) == 60
    assert await access.count(chunks, access.Equals("document_id", "d0")) == 20
    assert await access.count(chunks, access.Equals("document_id", "d9")) == 0


async def test_facets_come_by_frequency(chunks: str) -> None:
    await access.delete_points(chunks, [0, 3])
    values = await access.facet(chunks, "document_id")
    assert values == [
        access.FacetValue(value="d1", count=20),
        access.FacetValue(value="d2", count=20),
        access.FacetValue(value="d0", count=18),
    ]
    assert await access.facet(chunks, "chunk_index", access.Equals("document_id", "d1"), limit=1) == [
        access.FacetValue(value=0, count=1)
    ]


async def test_a_facet_without_index_is_refused_with_the_reason(chunks: str) -> None:
    with pytest.raises(QdrantRejected, match="index"):
        await access.facet(chunks, "meta.nothing")


async def test_missing_ids_are_left_out(chunks: str) -> None:
    assert [point.id for point in await access.retrieve(chunks, [5, 900, 2])] == [5, 2]


async def test_a_bad_id_is_named(faulty: FaultyServer) -> None:
    for point_id in ("", "no-uuid", -1, 2**64, 1.5, None, True):
        with pytest.raises(InvalidInput) as caught:
            await access.retrieve("chunks", [point_id])
        assert caught.value.field == "point_id"
    assert faulty.calls == []
