"""The bridge rows of a document."""

import uuid

import pytest

from collections_admin.models import Chunk
from collections_admin.services import chunk_rows
from tests.factories import ChunkFactory, DocumentFactory, make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def document():
    return await make(DocumentFactory)


async def test_rows_are_listed_in_order(document) -> None:
    for index in (2, 0, 1):
        await make(ChunkFactory, document=document, index=index)
    await make(ChunkFactory)
    assert [row.index for row in await chunk_rows.list_chunks(document.pk)] == [0, 1, 2]


async def test_rows_are_replaced_in_one_batch(document) -> None:
    await make(ChunkFactory, document=document, index=0)
    fresh = [Chunk(document=document, index=n, point_id=uuid.uuid4(), content=f"c{n}") for n in range(3)]
    assert await chunk_rows.replace_chunks(document, fresh) == 3
    assert {row.point_id for row in await chunk_rows.list_chunks(document.pk)} == {row.point_id for row in fresh}


async def test_rows_are_deleted_for_one_document_alone(document) -> None:
    await make(ChunkFactory, document=document, index=0)
    other = await make(ChunkFactory)
    assert await chunk_rows.delete_chunks(document.pk) == 1
    assert [pk async for pk in Chunk.objects.values_list("pk", flat=True)] == [other.pk]


async def test_many_ids_are_set_in_one_statement_and_unknown_ones_ignored(document) -> None:
    rows = [await make(ChunkFactory, document=document, index=n) for n in range(3)]
    wanted = {row.pk: uuid.uuid4() for row in rows[:2]}
    assert await chunk_rows.update_embedding_ids_batch(wanted | {10**9: uuid.uuid4()}) == 2
    stored = {row.pk: row.point_id async for row in Chunk.objects.all()}
    assert stored == {**{row.pk: row.point_id for row in rows}, **wanted}


async def test_nothing_to_set_is_no_statement(document) -> None:
    assert await chunk_rows.update_embedding_ids_batch({}) == 0


def test_point_ids_depend_on_collection_document_and_index() -> None:
    document_id = uuid.uuid4()
    first = chunk_rows.point_id_of(1, document_id, 0)
    assert first == chunk_rows.point_id_of(1, document_id, 0)
    assert len({first, chunk_rows.point_id_of(2, document_id, 0), chunk_rows.point_id_of(1, document_id, 1)}) == 3
    assert first.version == 5
