"""A tenant's collection in both places: registry and chunks in the database, points in the node."""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from asgiref.sync import sync_to_async

from collections_admin import qdrant
from collections_admin.embeddings import get_model
from collections_admin.models import Chunk, ChunkState, Document, DocumentStatus, TenantCollection
from tests.factories import CollectionFactory, DocumentFactory, make

MODEL = "wordllama-256"


async def filled_collection(**fields: Any) -> TenantCollection:
    """A registry row, and its empty collection in Qdrant."""
    collection = await make(CollectionFactory, embedding_model=MODEL, vector_size=256, **fields)
    await ensure(collection)
    return collection


async def ensure(collection: TenantCollection) -> None:
    spec = qdrant.CollectionSpec(vector_size=collection.vector_size)
    await qdrant.ensure_collection(collection.physical_name, collection.alias, spec)


async def filled_document(
    collection: TenantCollection, texts: Sequence[str], *, payload: dict[str, Any] | None = None, **fields: Any
) -> tuple[Document, list[uuid.UUID]]:
    """A document whose chunks are these texts, settled in the database and written to Qdrant; and their ids."""
    document = await make(
        DocumentFactory,
        collection=collection,
        tenant=collection.tenant,
        **{"chunk_count": len(texts), "status": DocumentStatus.INDEXED, "indexed_rev": 1} | fields,
    )
    ids = [uuid.uuid5(document.pk, str(index)) for index in range(len(texts))]
    await sync_to_async(_write_rows)(document, ids, texts)
    vectors = await get_model(MODEL).embed(texts)
    points = [
        qdrant.PointToWrite(
            id=str(point_id), vector=vector, payload=payload_of(document, index, text) | (payload or {})
        )
        for index, (point_id, text, vector) in enumerate(zip(ids, texts, vectors, strict=True))
    ]
    await qdrant.upsert_points(collection.physical_name, points)
    return document, ids


def _write_rows(document: Document, ids: Sequence[uuid.UUID], texts: Sequence[str]) -> None:
    Chunk.objects.bulk_create(
        Chunk(
            document=document,
            index=index,
            point_id=point_id,
            content=text,
            content_hash=hashlib.sha256(text.encode()).hexdigest(),
            embedding_model=MODEL,
            state=ChunkState.SETTLED,
            rev=document.rev,
        )
        for index, (point_id, text) in enumerate(zip(ids, texts, strict=True))
    )


def payload_of(document: Document, index: int, text: str) -> dict[str, Any]:
    return {
        "tenant_id": document.tenant_id,
        "table_name": document.collection.table,
        "document_id": str(document.pk),
        "external_id": document.external_id,
        "title": document.title,
        "chunk_index": index,
        "chunk_count": document.chunk_count,
        "content": text,
        "content_hash": hashlib.sha256(text.encode()).hexdigest(),
        "embedding_model": MODEL,
        "archived_at": document.archived_at.isoformat() if document.archived_at else None,
        "indexed_at": "2026-11-20T12:00:00+00:00",
        "rev": document.rev,
        "meta": document.meta,
    }
