"""Searches on the real node."""

import pytest

from collections_admin import qdrant as access
from collections_admin.errors import InvalidInput
from tests.qdrant.faulty_server import FaultyServer


@pytest.fixture
async def chunks(proxied: FaultyServer) -> str:
    """Ten points on a quarter circle, the tenth archived."""
    await access.ensure_collection("chunks__v1", "chunks", access.CollectionSpec(vector_size=2), [])
    points = [
        access.PointToWrite(id=number, vector=[10 - number, number], payload={"n": number, "title": f"t{number}"})
        for number in range(9)
    ]
    archived = {"n": 9, "archived_at": "2026-11-20T10:00:00Z"}
    await access.upsert_points("chunks", [*points, access.PointToWrite(id=9, vector=[10, 0], payload=archived)])
    return "chunks"


async def test_the_nearest_come_first(chunks: str) -> None:
    found = await access.query(chunks, vector=[1.0, 0.0], condition=access.IsEmpty("archived_at"), limit=3)
    assert [hit.id for hit in found.hits] == [0, 1, 2]
    assert found.hits[0].score == pytest.approx(1)
    assert found.hits[0].payload == {"n": 0, "title": "t0"}


async def test_a_stored_point_finds_its_neighbours_but_not_itself(chunks: str) -> None:
    found = await access.query(chunks, point_id=4, limit=2, fields=("n",))
    assert sorted(hit.id for hit in found.hits) == [3, 5]
    assert all(set(hit.payload) == {"n"} for hit in found.hits)


async def test_offset_and_threshold_cut(chunks: str) -> None:
    every = await access.query(chunks, vector=[0.0, 1.0], limit=10, exact=True, hnsw_ef=64)
    rest = await access.query(chunks, vector=[0.0, 1.0], limit=10, offset=4)
    assert [hit.id for hit in rest.hits] == [hit.id for hit in every.hits[4:]]
    high = await access.query(chunks, vector=[0.0, 1.0], limit=10, score_threshold=0.9)
    assert [hit.id for hit in high.hits] == [hit.id for hit in every.hits if hit.score >= 0.9]


async def test_the_time_of_the_server_is_told_apart(chunks: str) -> None:
    found = await access.query(chunks, vector=[1.0, 0.0])
    assert 0 < found.server_s < found.total_s


async def test_several_collections_are_asked_at_once(chunks: str) -> None:
    await access.create_collection("other", spec=access.CollectionSpec(vector_size=2))
    results = await access.query_many([chunks, "missing", "other"], vector=[1.0, 0.0], return_exceptions=True)
    assert len(results[0].hits) == 10
    assert isinstance(results[1], access.CollectionMissing)
    assert results[2].hits == ()
    with pytest.raises(access.CollectionMissing):
        await access.query_many([chunks, "missing"], vector=[1.0, 0.0])


async def test_a_missing_point_is_named(chunks: str) -> None:
    with pytest.raises(access.PointMissing):
        await access.query(chunks, point_id=77)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("vector", {}),
        ("vector", {"vector": [1.0, 0.0], "point_id": 1}),
        ("vector", {"vector": [float("nan"), 0.0]}),
        ("vector", {"vector": []}),
        ("vector", {"vector": "text"}),
        ("point_id", {"point_id": "no-uuid"}),
        ("limit", {"vector": [1.0, 0.0], "limit": 0}),
        ("limit", {"vector": [1.0, 0.0], "limit": 1001}),
        ("offset", {"vector": [1.0, 0.0], "offset": -1}),
        ("hnsw_ef", {"vector": [1.0, 0.0], "hnsw_ef": 0}),
    ],
)
async def test_bad_input_names_the_field_and_asks_nothing(
    faulty: FaultyServer, field: str, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await access.query("chunks", **options)
    assert caught.value.field == field
    assert faulty.calls == []
