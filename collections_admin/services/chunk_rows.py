"""The bridge between database and Qdrant: one row per chunk, written before the upsert and settled after it.

The functions with `_rows` in their name are synchronous and belong into a transaction of the caller.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, F, UUIDField, Value, When
from django.utils import timezone

from collections_admin.concurrency import in_thread, in_transaction
from collections_admin.models import Chunk, ChunkState, Document
from collections_admin.services.bulk_rows import ROWS_PER_STATEMENT, insert_or_replace

# Never change it: every point id is made from it.
POINT_NAMESPACE = UUID("6f0a5a1e-5d0b-5f43-9d2e-3a0c6b6f7d11")
# The columns of a row that an ingest writes, in the order of `write_rows`.
WRITTEN = ("document", "index", "point_id", "content", "content_hash", "embedding_model", "token_count", "rev")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkRow:
    """What the database says about one chunk, without its text."""

    document_id: UUID
    index: int
    point_id: UUID
    content_hash: str
    embedding_model: str
    state: str
    rev: int


def point_id_of(collection_id: int, document_id: UUID, index: int) -> UUID:
    """The same chunk always has the same point: an ingest that is repeated replaces, and never adds."""
    return uuid.uuid5(POINT_NAMESPACE, f"{collection_id}|{document_id}|{index}")


def text_hash(text: str) -> str:
    """sha256 of the UTF-8 text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def rows_of(document_ids: Collection[UUID]) -> dict[UUID, dict[int, ChunkRow]]:
    """By document and index; documents without chunks have an empty entry."""
    found: dict[UUID, dict[int, ChunkRow]] = {document_id: {} for document_id in document_ids}
    fields = tuple(ChunkRow.__dataclass_fields__)
    for values in Chunk.objects.filter(document_id__in=document_ids).order_by().values(*fields):
        row = ChunkRow(**values)
        found[row.document_id][row.index] = row
    return found


def write_rows(rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows as of `WRITTEN`, pending, or replace what has the same document and index."""
    state, now = ChunkState.PENDING.value, timezone.now()
    insert_or_replace(
        Chunk,
        (*WRITTEN, "state", "updated_at"),
        ((*row, state, now) for row in rows),
        unique=("document", "index"),
    )


def settle_rows(point_ids: Sequence[UUID], documents: Collection[UUID]) -> None:
    for part in _parts(point_ids):
        rows = Chunk.objects.filter(point_id__in=part, document_id__in=documents)
        rows.exclude(state=ChunkState.DELETING).update(state=ChunkState.SETTLED, updated_at=timezone.now())


def delete_rows(point_ids: Sequence[UUID]) -> None:
    for part in _parts(point_ids):
        Chunk.objects.filter(point_id__in=part, state=ChunkState.DELETING).delete()


def living_points(point_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that the database still wants in Qdrant."""
    living: set[UUID] = set()
    for part in _parts(point_ids):
        rows = Chunk.objects.filter(point_id__in=part, document__deleted_at__isnull=True)
        living |= set(rows.exclude(state=ChunkState.DELETING).values_list("point_id", flat=True))
    return living


@in_thread
def list_chunks(document_id: UUID) -> list[ChunkRow]:
    """The rows of a document in order."""
    return [row for _, row in sorted(rows_of([document_id])[document_id].items())]


@in_transaction
def replace_chunks(document: Document, chunks: Sequence[Chunk]) -> int:
    """Make these the rows of the document (a sync from Qdrant). Returns how many there are."""
    Chunk.objects.filter(document=document).delete()
    Chunk.objects.bulk_create(chunks, batch_size=ROWS_PER_STATEMENT)
    return len(chunks)


@in_transaction
def delete_chunks(document_id: UUID) -> int:
    """Forget the rows of a document, not its points. Returns how many there were."""
    return Chunk.objects.filter(document_id=document_id).delete()[0]


@in_transaction
def update_embedding_ids_batch(point_ids: dict[int, UUID]) -> int:
    """Give rows (by their database id) other point ids, in one statement. Unknown rows are ignored.

    Returns how many rows were changed; 0 for nothing to do.
    """
    if not point_ids:
        return 0
    chosen = Case(
        *(When(pk=pk, then=Value(point_id)) for pk, point_id in point_ids.items()),
        default=F("point_id"),
        output_field=UUIDField(),
    )
    return Chunk.objects.filter(pk__in=point_ids).update(point_id=chosen, updated_at=timezone.now())


def _parts(point_ids: Sequence[UUID]) -> Iterable[Sequence[UUID]]:
    return (point_ids[start : start + ROWS_PER_STATEMENT] for start in range(0, len(point_ids), ROWS_PER_STATEMENT))
