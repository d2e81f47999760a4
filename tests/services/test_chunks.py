import asyncio
import uuid

import pytest
from django.utils import timezone

from collections_admin import qdrant
from collections_admin.errors import InvalidInput, NotFound, Unavailable
from collections_admin.models import Chunk, ChunkState, TenantCollection
from collections_admin.services import chunks
from collections_admin.services.chunk_detail import chunk_detail
from collections_admin.services.payload_filters import Archived, PayloadFilters
from collections_admin.services.standing import Standing
from tests.factories import TenantFactory, make
from tests.filled import filled_collection, filled_document, payload_of

pytestmark = pytest.mark.django_db(transaction=True)
ALL = PayloadFilters(archived=Archived.ALL, usual=Archived.ALL)


def texts(count: int) -> list[str]:
    return [f"Chunk number {number} speaks of topic {number % 7}." for number in range(count)]


@pytest.fixture
async def collection(qdrant: object) -> TenantCollection:
    return await filled_collection()


async def read_all(collection: TenantCollection, **options: object) -> list[chunks.ChunkRow]:
    rows, cursor = [], ""
    for _ in range(100):
        page = await chunks.browse(collection, cursor=cursor, **options)
        rows += page.rows
        if page.next_cursor is None:
            return rows
        cursor = page.next_cursor
    raise AssertionError("The pages do not end.")


@pytest.mark.parametrize("limit", [1, 7, 20, 50])
async def test_a_document_is_read_in_order_without_gaps_or_repeats(collection: TenantCollection, limit: int) -> None:
    document, ids = await filled_document(collection, texts(20))
    await filled_document(collection, texts(9))
    rows = await read_all(collection, document=document, filters=ALL, limit=limit)
    assert [row.point_id for row in rows] == [str(point_id) for point_id in ids]
    assert [row.number for row in rows] == list(range(1, 21))
    assert {row.standing for row in rows} == {Standing.SAME}


async def test_a_collection_is_read_whole_without_repeats(collection: TenantCollection) -> None:
    expected = set()
    for count in (20, 9, 1):
        expected |= set((await filled_document(collection, texts(count)))[1])
    rows = await read_all(collection, limit=7)
    assert len(rows) == 30
    assert {row.point_id for row in rows} == {str(point_id) for point_id in expected}


async def test_chunks_added_while_reading_do_not_disturb_the_order(collection: TenantCollection) -> None:
    document, ids = await filled_document(collection, texts(10))
    first = await chunks.browse(collection, document=document, filters=ALL, limit=6)
    await qdrant.delete_points(collection.physical_name, [str(ids[0]), str(ids[7])])
    second = await chunks.browse(collection, document=document, filters=ALL, limit=6, cursor=first.next_cursor)
    assert [row.number for row in first.rows] == [1, 2, 3, 4, 5, 6]
    assert [row.number for row in second.rows] == [7, 8, 9, 10]
    assert second.rows[1].standing is Standing.MISSING_IN_QDRANT


async def test_points_that_share_an_index_are_neither_skipped_nor_repeated(collection: TenantCollection) -> None:
    document, _ = await filled_document(collection, texts(5))
    twins = [
        qdrant.PointToWrite(id=str(uuid.uuid4()), vector=[1.0] * 256, payload=payload_of(document, 2, "twin"))
        for _ in range(4)
    ]
    await qdrant.upsert_points(collection.physical_name, twins)
    rows = await read_all(collection, document=document, filters=ALL, limit=2)
    assert [row.number for row in rows] == [1, 2, 3, 3, 3, 3, 3, 4, 5]
    assert len({row.point_id for row in rows}) == 9


async def test_the_total_is_exact_and_follows_the_filters(collection: TenantCollection) -> None:
    document, _ = await filled_document(collection, texts(20), meta={"lang": "en", "page": 3})
    await filled_document(collection, texts(5), meta={"lang": "de"}, archived_at=timezone.now())
    for f, archived, expected in [
        ([], "", 20),
        ([], "all", 25),
        ([], "archived", 5),
        (["meta.lang:en"], "all", 20),
        (["-meta.lang:en"], "all", 5),
        (["meta.lang:en", "meta.lang:de"], "all", 25),
        (["chunk_index:2..4", "meta.page:3"], "", 3),
        (["rev:>1"], "all", 0),
        ([f"document_id:{document.pk}", "chunk_index:<10"], "", 10),
    ]:
        filters = PayloadFilters.parse(f=f, archived=archived)
        page = await chunks.browse(collection, filters=filters)
        assert (page.total, len(page.rows)) == (expected, expected), (f, archived)


async def test_words_are_looked_for_in_the_text(collection: TenantCollection) -> None:
    await filled_document(collection, ["A legal hold stops deletion.", "Backups are kept.", "On hold, legally."])
    page = await chunks.browse(collection, filters=PayloadFilters.parse(q="hold legal"))
    assert [row.text for row in page.rows] == ["A legal hold stops deletion."]


async def test_points_of_another_tenant_stay_unseen_in_a_collection_of_ours(collection: TenantCollection) -> None:
    await filled_document(collection, texts(2))
    foreign, ids = await filled_document(collection, ["secret"], payload={"tenant_id": collection.tenant_id + 1})
    assert (await chunks.browse(collection)).total == 2
    page = await chunks.browse(collection, document=foreign, filters=ALL)
    assert page.total == 0
    found = await chunks.facet(collection, field="title", filters=ALL)
    assert foreign.title not in [value.value for value in found.values]
    await Chunk.objects.all().adelete()
    with pytest.raises(NotFound):
        await chunk_detail(collection, ids[0])


async def test_a_document_of_another_tenant_is_not_found(collection: TenantCollection) -> None:
    document, _ = await filled_document(collection, texts(1))
    stranger = await make(TenantFactory)
    with pytest.raises(NotFound):
        await chunks.open_document(stranger, document.pk)
    assert (await chunks.open_document(collection.tenant, document.pk)).collection == collection


@pytest.mark.parametrize(
    "cursor",
    ["x", "~", "3~", "~x", "3~not-an-id", "x~y", "9" * 13 + "~x", "3~" + "x" * 5000, "-1~WzAsIFsi4oCmIl1d"],
)
async def test_a_damaged_cursor_is_refused(collection: TenantCollection, cursor: str) -> None:
    document, _ = await filled_document(collection, texts(1))
    for options in ({}, {"document": document}):
        with pytest.raises(InvalidInput) as refused:
            await chunks.browse(collection, cursor=cursor, **options)
        assert refused.value.field == "after"


@pytest.mark.parametrize("inner", ["[" + "9" * 25 + ", []]", "[null, []]", "[1, [1.5]]", "[1, 2]", "[1]", "[" * 5000])
async def test_a_cursor_that_decodes_to_nonsense_is_refused(collection: TenantCollection, inner: str) -> None:
    import base64

    document, _ = await filled_document(collection, texts(1))
    cursor = f"1~{base64.urlsafe_b64encode(inner.encode()).decode()}"
    with pytest.raises(InvalidInput) as refused:
        await chunks.browse(collection, document=document, filters=ALL, cursor=cursor)
    assert refused.value.field == "after"


async def test_an_unreadable_point_is_shown_among_the_others(collection: TenantCollection) -> None:
    document, ids = await filled_document(collection, texts(4))
    await make_unreadable(collection, ids[1])
    rows = await read_all(collection, document=document, filters=ALL)
    assert [row.standing for row in rows].count(Standing.UNREADABLE) == 1
    assert [row.number for row in rows if row.standing is Standing.UNREADABLE] == [2]
    detail = await chunk_detail(collection, ids[1])
    assert detail.standing is Standing.UNREADABLE
    assert detail.text == texts(4)[1]
    assert "deep" in detail.unreadable


async def make_unreadable(collection: TenantCollection, point_id: uuid.UUID) -> None:
    """A payload put together from two halves, deeper than one message can carry."""
    from qdrant_client import grpc as pb

    from collections_admin.qdrant.client import current_connection

    request = pb.SetPayloadPoints(
        collection_name=collection.physical_name,
        wait=True,
        key=".".join(["meta"] + ["d"] * 25),
        points_selector=pb.PointsSelector(points=pb.PointsIdsList(ids=[pb.PointId(uuid=str(point_id))])),
    )
    value = request.payload["d"]
    for _ in range(25):
        value = value.struct_value.fields["d"]
    value.integer_value = 1
    client = current_connection().lanes["bulk"].client
    await client.grpc_points.SetPayload(request, timeout=10)


# ---- against the database


async def change(point_id: uuid.UUID, **fields: object) -> None:
    await Chunk.objects.filter(point_id=point_id).aupdate(**fields)


async def test_each_chunk_says_where_it_stands_against_the_database(collection: TenantCollection) -> None:
    document, ids = await filled_document(collection, texts(8))
    await change(ids[1], content="edited since")
    await change(ids[2], embedding_model="other")
    await change(ids[3], state=ChunkState.PENDING)
    await change(ids[4], rev=7)
    await change(ids[5], state=ChunkState.DELETING)
    await Chunk.objects.filter(point_id=ids[6]).adelete()
    await qdrant.delete_points(collection.physical_name, [str(ids[7])])
    expected = [
        Standing.SAME,
        Standing.STALE_TEXT,
        Standing.WRONG_MODEL,
        Standing.PENDING,
        Standing.OLD_REVISION,
        Standing.DELETING,
        Standing.MISSING_IN_DATABASE,
        Standing.MISSING_IN_QDRANT,
    ]
    rows = await read_all(collection, document=document, filters=ALL)
    assert [row.standing for row in rows] == expected
    assert [(await chunk_detail(collection, point_id)).standing for point_id in ids] == expected


async def test_a_document_that_qdrant_has_not_got_shows_what_the_database_knows(
    collection: TenantCollection,
) -> None:
    document, ids = await filled_document(collection, texts(3))
    await qdrant.delete_points(collection.physical_name, [str(point_id) for point_id in ids])
    page = await chunks.browse(collection, document=document, filters=ALL)
    assert page.total == 0
    assert [(row.number, row.standing) for row in page.rows] == [
        (number, Standing.MISSING_IN_QDRANT) for number in (1, 2, 3)
    ]


async def test_a_collection_embedded_by_another_model_than_it_searches_with_says_so(
    collection: TenantCollection,
) -> None:
    await filled_document(collection, texts(1))
    collection.embedding_model = "newer"
    assert [row.standing for row in (await chunks.browse(collection)).rows] == [Standing.WRONG_MODEL]


# ---- one chunk


async def test_a_chunk_has_neighbours_and_nearest_ones(collection: TenantCollection) -> None:
    cats = ["The cat sleeps on the sofa.", "Kittens and cats love warm sofas.", "Stock markets fell today."]
    document, ids = await filled_document(collection, cats)
    detail = await chunk_detail(collection, ids[0])
    assert (detail.before, detail.after.number, detail.after.text) == (None, 2, cats[1])
    assert detail.nearest.hits[0].point_id == str(ids[1])
    assert str(ids[0]) not in {hit.point_id for hit in detail.nearest.hits}
    middle = await chunk_detail(collection, ids[1])
    assert (middle.before.point_id, middle.after.point_id) == (str(ids[0]), str(ids[2]))
    assert (middle.number, middle.count, middle.title) == (2, 3, document.title)
    assert all(line.is_same for line in middle.comparisons)


async def test_the_vector_comes_only_when_asked_for(collection: TenantCollection) -> None:
    _, ids = await filled_document(collection, texts(1))
    assert (await chunk_detail(collection, ids[0])).vector is None
    vector = (await chunk_detail(collection, ids[0], with_vector=True)).vector
    assert (vector.size, len(vector.first)) == (256, 24)
    assert vector.norm == pytest.approx(1, abs=1e-4)


async def test_a_chunk_that_neither_side_has_is_not_found(collection: TenantCollection) -> None:
    with pytest.raises(NotFound):
        await chunk_detail(collection, uuid.uuid4())


async def test_a_chunk_of_another_collection_is_not_found(collection: TenantCollection) -> None:
    other = await filled_collection(tenant=collection.tenant, table="pull_requests")
    _, ids = await filled_document(other, texts(1))
    with pytest.raises(NotFound):
        await chunk_detail(collection, ids[0])


async def test_both_texts_are_there_when_they_differ(collection: TenantCollection) -> None:
    _, ids = await filled_document(collection, ["held by Qdrant"])
    await change(ids[0], content="known to the database")
    detail = await chunk_detail(collection, ids[0])
    assert (detail.text, detail.database_text) == ("held by Qdrant", "known to the database")
    assert [line.is_same for line in detail.comparisons] == [False, True, True]


# ---- facets


async def test_facets_count_values_under_the_other_filters(collection: TenantCollection) -> None:
    await filled_document(collection, texts(3), title="Handbook", rev=4)
    await filled_document(collection, texts(2), title="Manual")
    await filled_document(collection, texts(9), title="Old", archived_at=timezone.now())

    async def values(field: str, **options: object) -> dict[object, int]:
        filters = PayloadFilters.parse(f=options.pop("f", []))
        found = await chunks.facet(collection, field=field, filters=filters, **options)
        return {value.value: value.count for value in found.values}

    assert await values("title") == {"Handbook": 3, "Manual": 2}
    assert await values("title", prefix="man") == {"Manual": 2}
    assert await values("title", f=["title:Manual"]) == {"Handbook": 3, "Manual": 2}
    assert await values("title", f=["rev:4"]) == {"Handbook": 3}
    assert await values("rev") == {4: 3, 1: 2}


@pytest.mark.parametrize(
    ("field", "words"), [("meta.none", "No chunk here has"), ("content", "text"), ("indexed_at", "datetime")]
)
async def test_fields_without_suggestions_say_why(collection: TenantCollection, field: str, words: str) -> None:
    await filled_document(collection, texts(1), meta={"lang": "en"})
    found = await chunks.facet(collection, field=field)
    assert not found.values
    assert words in found.reason


async def test_metadata_without_an_index_is_counted_in_the_first_chunks(
    collection: TenantCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled_document(collection, texts(3), meta={"lang": "en", "tags": ["a", "b"], "page": 7})
    await filled_document(collection, texts(2), meta={"lang": "de"})

    async def counts(field: str, **options: object) -> dict[object, int]:
        return {value.value: value.count for value in (await chunks.facet(collection, field=field, **options)).values}

    assert await counts("meta.lang") == {"en": 3, "de": 2}
    assert await counts("meta.lang", prefix="d") == {"de": 2}
    assert await counts("meta.tags") == {"a": 3, "b": 3}
    assert await counts("meta.page") == {7: 3}
    assert not (await chunks.facet(collection, field="meta.lang")).is_sample
    monkeypatch.setattr(chunks, "FACET_SAMPLE", 4)
    sampled = await chunks.facet(collection, field="meta.lang")
    assert sampled.is_sample
    assert sum(value.count for value in sampled.values) == 4


@pytest.mark.parametrize("field", ["", "nothing", "meta", "x" * 5000])
async def test_a_facet_of_an_unknown_field_is_refused(collection: TenantCollection, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await chunks.facet(collection, field=field)
    assert refused.value.field == "field"


# ---- faults


async def test_a_stopped_node_is_named_and_everything_works_again_after_it(
    collection: TenantCollection, qdrant_node: object
) -> None:
    document, ids = await filled_document(collection, texts(2))
    qdrant_node.stop()
    with pytest.raises(Unavailable):
        await chunks.browse(collection)
    detail = await chunk_detail(collection, ids[0])
    assert detail.standing is Standing.UNKNOWN
    assert detail.text == texts(2)[0]
    assert "does not answer" in detail.notice
    with pytest.raises(Unavailable):
        await chunk_detail(collection, uuid.uuid4())
    qdrant_node.start()
    for _ in range(40):
        await asyncio.sleep(0.25)
        try:
            page = await chunks.browse(collection, document=document, filters=ALL)
            break
        except Unavailable:
            continue
    assert page.total == 2


async def test_a_row_of_another_collection_says_nothing_about_a_point(collection: TenantCollection) -> None:
    other = await filled_collection(tenant=collection.tenant, table="others")
    document, ids = await filled_document(other, texts(1))
    payload = payload_of(document, 0, texts(1)[0])
    await qdrant.upsert_points(
        collection.physical_name, [qdrant.PointToWrite(id=str(ids[0]), vector=[1.0] * 256, payload=payload)]
    )
    page = await chunks.browse(collection)
    assert [(row.point_id, row.standing) for row in page.rows] == [(str(ids[0]), Standing.MISSING_IN_DATABASE)]
    assert [row.standing for row in (await chunks.browse(other)).rows] == [Standing.SAME]
