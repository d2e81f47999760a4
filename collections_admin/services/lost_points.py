"""Points that Qdrant lost while the database counts on them: they become pending, and the next ingest writes them."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.utils import timezone

from collections_admin import qdrant
from collections_admin.concurrency import in_transaction
from collections_admin.models import Chunk, ChunkState, Document, DocumentStatus
from collections_admin.services.chunk_rows import ChunkRow

IDS_AT_ONCE = 1_000
_COMPLETE = (DocumentStatus.INDEXED, DocumentStatus.ARCHIVED)


@in_transaction
def expect_nothing(collection_id: int) -> int:
    """Qdrant holds no point of this collection: nothing of it is settled. Returns how many documents wait now.

    Called before the collection is created again: whoever dies in between leaves rows that are written once more.
    """
    documents = Document.objects.filter(collection_id=collection_id, deleted_at=None)
    # In the order in which an ingest locks them.
    list(documents.select_for_update().order_by("pk").values_list("pk", flat=True))
    settled = Chunk.objects.filter(document__collection_id=collection_id, state=ChunkState.SETTLED)
    settled.update(state=ChunkState.PENDING, updated_at=timezone.now())
    documents.update(indexed_rev=0)
    return documents.filter(status__in=_COMPLETE).update(status=DocumentStatus.PENDING, error="")


async def missing_points(alias: str, rows: Iterable[ChunkRow]) -> set[UUID]:
    """Ids of settled rows that Qdrant does not hold. By id and not by counts: other points cannot stand in for them."""
    settled = [row.point_id for row in rows if row.state == ChunkState.SETTLED]
    missing: set[UUID] = set()
    for start in range(0, len(settled), IDS_AT_ONCE):
        missing |= await _missing(alias, settled[start : start + IDS_AT_ONCE])
    return missing


async def _missing(alias: str, ids: Sequence[UUID]) -> set[UUID]:
    found = await qdrant.retrieve(alias, [str(pk) for pk in ids], fields=(), lane="bulk")
    return set(ids) - {UUID(str(point.id)) for point in found}
