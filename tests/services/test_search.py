import asyncio
import uuid

import pytest
from django.utils import timezone

from collections_admin import qdrant
from collections_admin.errors import InvalidInput, Unavailable
from collections_admin.models import Distance, TenantCollection
from collections_admin.services.payload_filters import PayloadFilters
from collections_admin.services.search import collections_of, search
from tests.factories import TenantFactory, make
from tests.filled import filled_collection, filled_document

pytestmark = pytest.mark.django_db(transaction=True)

TEXTS = [
    "The cat sleeps on a warm sofa.",
    "Kittens play with wool.",
    "The stock market fell by two percent.",
    "Investors sold their shares in panic.",
    "Rain and wind are expected tomorrow.",
]


@pytest.fixture
async def collection(qdrant: object) -> TenantCollection:
    return await filled_collection()


async def test_the_nearest_chunk_comes_first_with_its_document(collection: TenantCollection) -> None:
    document, ids = await filled_document(collection, TEXTS)
    found = await search(collection, text="cats and kittens", limit=3)
    assert {hit.point_id for hit in found.hits[:2]} == {str(ids[0]), str(ids[1])}
    first = found.hits[0]
    assert (first.rank, first.title, first.document_id, first.count) == (1, document.title, str(document.pk), 5)
    assert first.score >= found.hits[1].score >= found.hits[2].score
    assert found.next_offset == 3


async def test_the_time_is_split(collection: TenantCollection) -> None:
    await filled_document(collection, TEXTS)
    timing = (await search(collection, text="cats")).timing
    assert min(timing.embedding_ms, timing.qdrant_ms, timing.client_ms) > 0
    vector = [1.0] * collection.vector_size
    assert (await search(collection, vector=vector)).timing.embedding_ms is None


async def test_offsets_lead_through_all_hits(collection: TenantCollection) -> None:
    _, ids = await filled_document(collection, TEXTS)
    seen, ranks, offset = [], [], 0
    while offset is not None:
        found = await search(collection, text="market", limit=2, offset=offset)
        seen += [hit.point_id for hit in found.hits]
        ranks += [hit.rank for hit in found.hits]
        offset = found.next_offset
    assert sorted(seen) == sorted(map(str, ids))
    assert ranks == [1, 2, 3, 4, 5]


async def test_archived_chunks_are_found_only_when_asked_for(collection: TenantCollection) -> None:
    await filled_document(collection, TEXTS[:2])
    await filled_document(collection, TEXTS[2:], archived_at=timezone.now())
    assert len((await search(collection, text="market")).hits) == 2
    everything = await search(collection, text="market", filters=PayloadFilters.parse(archived="all"))
    assert [hit.is_archived for hit in everything.hits].count(True) == 3
    archived = await search(collection, text="market", filters=PayloadFilters.parse(archived="archived"))
    assert len(archived.hits) == 3


async def test_filters_and_threshold_narrow_the_hits(collection: TenantCollection) -> None:
    await filled_document(collection, TEXTS, title="News", meta={"lang": "en"})
    await filled_document(collection, TEXTS, title="Olds", meta={"lang": "de"})
    only = PayloadFilters.parse(f=["meta.lang:de", "chunk_index:0..1"])
    found = await search(collection, text="cats", filters=only)
    assert [hit.title for hit in found.hits] == ["Olds", "Olds"]
    strict = await search(collection, text=TEXTS[0], threshold=0.99)
    assert {hit.text for hit in strict.hits} == {TEXTS[0]}


async def test_similar_chunks_leave_out_the_chunk_itself(collection: TenantCollection) -> None:
    _, ids = await filled_document(collection, TEXTS)
    found = await search(collection, like=ids[0])
    assert found.hits[0].point_id == str(ids[1])
    assert str(ids[0]) not in {hit.point_id for hit in found.hits}
    with pytest.raises(qdrant.PointMissing):
        await search(collection, like=uuid.uuid4())


async def test_points_of_another_tenant_are_never_hits(collection: TenantCollection) -> None:
    await filled_document(collection, TEXTS[:1])
    await filled_document(collection, TEXTS, payload={"tenant_id": collection.tenant_id + 1})
    assert len((await search(collection, text=TEXTS[2])).hits) == 1


async def test_only_collections_of_the_tenant_are_offered(collection: TenantCollection) -> None:
    await filled_collection()
    assert await collections_of(collection.tenant) == [collection]
    assert await collections_of(await make(TenantFactory)) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "query"),
        ({"text": "a", "like": uuid.uuid4()}, "query"),
        ({"text": "x" * 2001}, "query"),
        ({"text": "a\0b"}, "query"),
        ({"text": "\ud800"}, "query"),
        ({"text": "   "}, "query"),
        ({"text": "a", "limit": 0}, "limit"),
        ({"text": "a", "limit": 101}, "limit"),
        ({"text": "a", "offset": -1}, "offset"),
        ({"text": "a", "offset": 10_001}, "offset"),
        ({"text": "a", "threshold": 1.1}, "threshold"),
        ({"text": "a", "threshold": float("nan")}, "threshold"),
        ({"vector": [float("nan")]}, "vector"),
        ({"like": "no-id"}, "point_id"),
    ],
)
async def test_bad_arguments_are_refused_by_name(collection: TenantCollection, options: dict, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await search(collection, **options)
    assert refused.value.field == field


async def test_scores_of_other_distances_have_no_bounds(collection: TenantCollection) -> None:
    collection.distance = Distance.DOT
    assert (await search(collection, text="a", threshold=200)).hits == ()


async def test_a_model_and_its_collection_come_from_the_same_row(collection: TenantCollection) -> None:
    """A search that began before a switch of versions ends in the version that it began with."""
    await filled_document(collection, TEXTS)
    before = await TenantCollection.objects.aget(pk=collection.pk)
    other = await filled_collection(tenant=collection.tenant, table="next")
    await TenantCollection.objects.filter(pk=collection.pk).aupdate(
        embedding_model="wordllama-128", physical_name=f"{other.physical_name}x"
    )
    assert len((await search(before, text="cats")).hits) == 5


async def test_a_hundred_searches_at_once_all_answer(collection: TenantCollection) -> None:
    await filled_document(collection, TEXTS)
    found = await asyncio.gather(*(search(collection, text=f"cats {number}") for number in range(100)))
    assert {len(outcome.hits) for outcome in found} == {5}


async def test_a_frozen_node_ends_in_a_named_error_and_comes_back(
    collection: TenantCollection, qdrant_node: object
) -> None:
    import os
    import signal

    await filled_document(collection, TEXTS)
    os.kill(qdrant_node.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="did not answer within"):
            await search(collection, text="cats")
    finally:
        os.kill(qdrant_node.pid, signal.SIGCONT)
    assert len((await search(collection, text="cats")).hits) == 5
