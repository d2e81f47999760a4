"""Ingest, archive and restore: the same engine brings Qdrant to what the database says of some documents."""

from collections.abc import AsyncIterator, Callable, Sequence
from time import monotonic
from typing import Any
from uuid import UUID

from collections_admin import qdrant
from collections_admin.concurrency import in_thread
from collections_admin.errors import ConsoleError, Unavailable
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.errors import PermanentFailure
from collections_admin.jobs.queue import add_job
from collections_admin.jobs.registry import job_kind
from collections_admin.models import Document, DocumentStatus, Job, TenantCollection, User
from collections_admin.services.ingest import IngestProgress, Outcome, in_batches, ingest_documents
from collections_admin.services.tenant_collections import ensure_collection, forget_ensured

# Twelve attempts with doubled pauses from 2 s, at most 10 min each, outlast an outage of half an hour.
ATTEMPTS, BACKOFF = 12, 2
IDS_AT_ONCE = 500


def start(kind: str, by: User | None) -> Callable[[Sequence[Document]], Job]:
    """What services are given as `enqueue`: adds a job for documents of one collection."""

    def enqueue(documents: Sequence[Document]) -> Job:
        first = documents[0]
        subject = first.title if len(documents) == 1 else f"{len(documents):,} documents"
        return add_job(
            kind,
            tenant=first.tenant,
            collection=first.collection,
            document=first if len(documents) == 1 else None,
            subject=subject,
            parameters={"documents": [str(document.pk) for document in documents]},
            created_by=by,
        )

    return enqueue


def start_all(collection: TenantCollection, by: User | None) -> Job:
    """Within a transaction: ingest whatever of the collection is pending or failed."""
    return add_job(
        "ingest",
        tenant=collection.tenant,
        collection=collection,
        subject=f"all pending of {collection.table}",
        parameters={"statuses": [DocumentStatus.PENDING, DocumentStatus.INDEXING, DocumentStatus.FAILED]},
        created_by=by,
    )


@job_kind("ingest", label="Ingest", max_attempts=ATTEMPTS, retry_backoff=BACKOFF)
async def ingest(job: RunningJob) -> dict[str, Any]:
    """Parameters: `documents` (ids), or `statuses` of the collection's documents."""
    collection = await open_collection(job)
    total, batches = await _chosen(job, collection)
    reporter = Reporter(job, total)
    progress = await run_ingest(job, collection, batches, reporter)
    if progress.failed and not progress.indexed + progress.unchanged:
        raise PermanentFailure(reporter.failure(progress))
    return counts_of(progress)


job_kind("archive", label="Archive", max_attempts=ATTEMPTS, retry_backoff=BACKOFF)(ingest)
job_kind("restore", label="Restore", max_attempts=ATTEMPTS, retry_backoff=BACKOFF)(ingest)


async def open_collection(job: RunningJob) -> TenantCollection:
    rows = TenantCollection.objects.select_related("tenant")
    collection = await rows.filter(pk=job.collection_id, tenant_id=job.tenant_id).afirst()
    if collection is None:
        raise PermanentFailure("The collection of this job is no longer there.")
    return collection


async def run_ingest(
    job: RunningJob,
    collection: TenantCollection,
    batches: AsyncIterator[Sequence[UUID]],
    reporter: "Reporter",
) -> IngestProgress:
    """The engine inside a job. When an outside system fails, documents say that they wait before the job does."""
    try:
        await ensure_collection(collection)
        return await ingest_documents(collection, batches, host=job, report=reporter)
    except (Unavailable, qdrant.CollectionMissing) as error:
        if isinstance(error, qdrant.CollectionMissing):
            forget_ensured(collection.physical_name)
        await job.fenced(_say_waiting, collection.pk, error)
        raise


def _say_waiting(collection_id: int, error: ConsoleError) -> None:
    halted = Document.objects.filter(collection_id=collection_id, status=DocumentStatus.INDEXING)
    halted.update(status=DocumentStatus.PENDING, error=f"{error.message} Its job tries again by itself.")


async def _chosen(job: RunningJob, collection: TenantCollection) -> tuple[int, AsyncIterator[Sequence[UUID]]]:
    if statuses := job.parameters.get("statuses"):
        rows = Document.objects.filter(collection=collection, status__in=statuses)
        return await rows.acount(), _by_status(collection, statuses)
    ids = [UUID(text) for text in job.parameters["documents"]]
    return len(ids), in_batches(ids)


async def _by_status(collection: TenantCollection, statuses: Sequence[str]) -> AsyncIterator[Sequence[UUID]]:
    """In the order of ids: each document once, though its status changes on the way."""
    rows = Document.objects.filter(collection=collection, status__in=statuses).order_by("pk")
    last: UUID | None = None
    while ids := await in_thread(_ids_after)(rows, last):
        yield ids
        last = ids[-1]


def _ids_after(rows: Any, last: UUID | None) -> list[UUID]:
    page = rows.filter(pk__gt=last) if last else rows
    return list(page.values_list("pk", flat=True)[:IDS_AT_ONCE])


def counts_of(progress: IngestProgress) -> dict[str, Any]:
    counts = {
        "indexed": progress.indexed,
        "unchanged": progress.unchanged,
        "failed": progress.failed,
        "deleted meanwhile": progress.gone,
        "chunks written": progress.written,
        "chunks refreshed": progress.refreshed,
        "chunks removed": progress.removed,
    }
    return counts | ({"chunks Qdrant had lost": progress.lost} if progress.lost else {})


class Reporter:
    """Progress of the engine as progress and log of a job."""

    def __init__(self, job: RunningJob, total: int) -> None:
        self.job, self.total = job, total
        self.started = monotonic()
        self.first_error = ""

    async def __call__(self, progress: IngestProgress, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.state == "failed":
                self.first_error = self.first_error or f"{outcome.title}: {outcome.error}"
                await self.job.log("error", f"{outcome.title}: {outcome.error}")
        await self.show(progress)

    async def show(self, progress: IngestProgress) -> None:
        if self.total == 1:
            await self.job.progress(
                progress.written, progress.chunks, rate(progress.written, "chunks", self.started), unit="chunks"
            )
            return
        message = f"{progress.written:,} chunks, {rate(progress.written, 'chunks', self.started)}"
        await self.job.progress(progress.documents, self.total, message, unit="documents")

    def failure(self, progress: IngestProgress) -> str:
        if progress.failed == 1:
            return self.first_error
        return f"All {progress.failed:,} documents failed; the first: {self.first_error}"


def rate(done: int, unit: str, since: float) -> str:
    return f"{done / max(monotonic() - since, 0.001):,.0f} {unit}/s"
