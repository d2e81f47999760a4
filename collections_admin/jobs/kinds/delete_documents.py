"""Delete documents: their points leave Qdrant first, by ids; only then the rows go."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from collections_admin import qdrant
from collections_admin.concurrency import in_thread
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.kinds.ingest import ATTEMPTS, BACKOFF, open_collection
from collections_admin.jobs.registry import job_kind
from collections_admin.models import Chunk, Document, TenantCollection
from collections_admin.services.uploads import remove_uploads

DOCUMENTS_AT_ONCE = 50


@job_kind("delete_documents", label="Delete documents", max_attempts=ATTEMPTS, retry_backoff=BACKOFF)
async def delete_documents(job: RunningJob) -> dict[str, Any]:
    """Parameters: `documents` (ids), all marked with `deleted_at` before."""
    collection = await open_collection(job)
    ids = [UUID(text) for text in job.parameters["documents"]]
    deleted = points = 0
    for start in range(0, len(ids), DOCUMENTS_AT_ONCE):
        await job.checkpoint()
        marked = await in_thread(_marked)(collection, ids[start : start + DOCUMENTS_AT_ONCE])
        points += await _remove_points(job, collection, marked)
        await job.fenced(_remove_rows, marked)
        deleted += len(marked)
        await job.progress(deleted, len(ids), f"{points:,} points removed", unit="documents")
    return {"deleted": deleted, "points removed": points}


def _marked(collection: TenantCollection, ids: Sequence[UUID]) -> list[UUID]:
    rows = Document.objects.filter(collection=collection, pk__in=ids, deleted_at__isnull=False)
    return list(rows.values_list("pk", flat=True))


async def _remove_points(job: RunningJob, collection: TenantCollection, ids: Sequence[UUID]) -> int:
    """What the rows name, then whatever else carries a document's id: an ingest that was killed may have left it."""
    if not ids:
        return 0
    try:
        named = [str(pk) async for pk in Chunk.objects.filter(document_id__in=ids).values_list("point_id", flat=True)]
        await qdrant.delete_points(collection.alias, named, lane="bulk")
        removed = len(named)
        carriers = qdrant.AnyOf("document_id", tuple(map(str, ids)))
        while rest := (await qdrant.scroll(collection.alias, carriers, limit=500, fields=(), lane="bulk")).points:
            await job.checkpoint()
            await qdrant.delete_points(collection.alias, [str(point.id) for point in rest], lane="bulk")
            removed += len(rest)
    except qdrant.CollectionMissing:
        await job.log("warning", f"{collection.alias} is not in Qdrant: there are no points to remove.")
        return 0
    return removed


def _remove_rows(ids: Sequence[UUID]) -> None:
    rows = Document.objects.filter(pk__in=ids, deleted_at__isnull=False)
    remove_uploads([pk for pk in rows.values_list("upload_id", flat=True) if pk])
    Chunk.objects.filter(document_id__in=ids)._raw_delete("default")  # noqa: SLF001 - texts stay unread
    rows.delete()
