"""Cleaning up and deleting collections: what would go, the decision, and the steps that carry it out.

The decision marks the registry row (`removal`) and a job carries it out. Every step can be repeated, Qdrant goes
first and the row or its mark last: an interrupted removal stays visible as one and is finished by the next attempt.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from collections_admin import qdrant
from collections_admin.concurrency import in_thread
from collections_admin.errors import Conflict, NotFound, Unavailable
from collections_admin.models import Chunk, Document, Job, Removal, TenantCollection, User
from collections_admin.models.jobs import OPEN_STATUSES, JobStatus
from collections_admin.services.audit import record
from collections_admin.services.collection_overview import outage_notice
from collections_admin.services.tenant_collections import forget_ensured
from collections_admin.types import Notice

POINTS_AT_ONCE = 1_000
DOCUMENTS_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Impact:
    """`points` is counted exactly; None with a `notice` when Qdrant did not say. `others` are aliases not ours."""

    points: int | None
    documents: int
    chunks: int
    aliases: list[str]
    others: list[str]
    is_missing: bool
    notice: Notice | None


async def impact_of(row: TenantCollection) -> Impact:
    """What a removal would take away. Never raises for what Qdrant does."""
    documents, chunks = await _counts(row)
    points, aliases, missing, notice = None, [], False, None
    try:
        aliases = sorted(name for name, target in (await qdrant.list_aliases()).items() if target == row.physical_name)
        points = await qdrant.count(row.physical_name)
    except NotFound:
        points, missing = 0, True
    except Unavailable as error:
        notice = outage_notice(error)
    return Impact(
        points=points,
        documents=documents,
        chunks=chunks,
        aliases=aliases,
        others=[name for name in aliases if name != row.alias],
        is_missing=missing,
        notice=notice,
    )


@in_thread
def _counts(row: TenantCollection) -> tuple[int, int]:
    return row.documents.count(), Chunk.objects.filter(document__collection=row).count()


def why_not(row: TenantCollection, removal: Removal) -> str:
    """Why this collection cannot be removed that way now; empty when it can be, open jobs apart."""
    if row.is_protected:
        return f"{row.table} is protected. An admin lifts the protection under Settings first."
    if row.removal == Removal.DELETE and removal == Removal.CLEAN_UP:
        return f"{row.table} is being deleted."
    return ""


def decide(actor: User, collection_id: int, removal: Removal, impact: Impact) -> TenantCollection:
    """Within the transaction that enqueues the job: mark the row and leave a trace.

    Raises `NotFound`; `Conflict` for a protected collection and while another job is at work on it.
    """
    locked = TenantCollection.objects.select_for_update(of=("self",)).select_related("tenant")
    row = locked.filter(pk=collection_id).first()
    if row is None:
        raise NotFound
    if reason := why_not(row, removal):
        raise Conflict(reason)
    busy = Job.objects.filter(collection=row, status__in=OPEN_STATUSES).first()
    if busy is not None:
        raise Conflict(
            f"Job {busy.short_id} ({busy.kind.replace('_', ' ')}, {busy.status}) works on {row.table}. "
            "Wait until it has ended, or cancel it."
        )
    row.removal = removal
    row.save(update_fields=["removal", "updated_at"])
    before = {"points": impact.points, "documents": impact.documents, "chunks": impact.chunks}
    record(actor, row.tenant, f"collection.{removal}", row.table, before=before)
    return row


# ---- steps


@in_thread
def running_job(row: TenantCollection, *, besides: object) -> str | None:
    """The short id of a job that was started at the very moment of the decision, None when there is none."""
    others = Job.objects.filter(collection=row, status=JobStatus.RUNNING).exclude(pk=besides)
    job = others.first()
    return job.short_id if job else None


async def delete_in_qdrant(row: TenantCollection) -> bool:
    """Collection and alias. False when Qdrant had no such collection."""
    forget_ensured(row.physical_name)
    existed = await qdrant.delete_collection(row.physical_name, aliases=(row.alias,))
    await qdrant.delete_alias(row.alias)
    return existed


async def delete_points(row: TenantCollection) -> AsyncIterator[int]:
    """Delete all points, by ids; yields how many after each batch. Ends when Qdrant counts none."""
    with suppress(qdrant.CollectionMissing):
        while True:
            page = await qdrant.scroll(row.physical_name, limit=POINTS_AT_ONCE, fields=(), lane="bulk")
            if not page.points:
                return
            await qdrant.delete_points(row.physical_name, [point.id for point in page.points], lane="bulk")
            yield len(page.points)


def delete_documents(collection_id: int) -> int:
    """Some documents and their chunk rows, in the caller's transaction; how many, 0 when none are left."""
    ids = list(Document.objects.filter(collection=collection_id).values_list("pk", flat=True)[:DOCUMENTS_AT_ONCE])
    Chunk.objects.filter(document__in=ids).delete()
    Document.objects.filter(pk__in=ids).delete()
    return len(ids)


def finish(collection_id: int) -> bool:
    """The last step, in the caller's transaction: the row goes, or its mark. False while documents are left."""
    row = TenantCollection.objects.select_for_update().filter(pk=collection_id).first()
    if row is None:
        return True
    if Document.objects.filter(collection=row).exists():
        return False
    if row.removal == Removal.DELETE:
        row.delete()
    else:
        row.removal = ""
        row.save(update_fields=["removal", "updated_at"])
    return True
