"""Import: a file of records becomes documents, and these are ingested while the file is still being read."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Q, Subquery

from collections_admin.errors import InvalidInput, NotFound
from collections_admin.jobs import leases
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.errors import PermanentFailure
from collections_admin.jobs.kinds.ingest import (
    ATTEMPTS,
    BACKOFF,
    Reporter,
    counts_of,
    open_collection,
    rate,
    run_ingest,
)
from collections_admin.jobs.queue import add_job
from collections_admin.jobs.registry import job_kind
from collections_admin.models import Document, DocumentSource, DocumentStatus, Job, TenantCollection, User
from collections_admin.services import audit
from collections_admin.services.documents import save_records
from collections_admin.services.ingest import IngestProgress
from collections_admin.services.records import BadRecord, Record, read_records
from collections_admin.services.uploads import StoredUpload, discard_uploads, find_upload, upload_parts

BATCH_RECORDS = 200
BATCH_CHARS = 500_000
MAX_ERRORS = 100  # kept with their lines; all are counted


@dataclass(kw_only=True, slots=True)
class ImportState:
    """Kept with the job in the transaction that writes the documents: a next attempt goes on behind `read` records."""

    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, line: int, message: str) -> None:
        self.failed += 1
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"line": line, "message": message})


def start_import(collection: TenantCollection, upload: StoredUpload, *, by: User | None) -> Job:
    """Within a transaction."""
    audit.record(by, collection.tenant, "document.import", f"{collection.table}/{upload.file_name}")
    return add_job(
        "import",
        tenant=collection.tenant,
        collection=collection,
        subject=upload.file_name,
        parameters={"upload": str(upload.id), "file": upload.file_name},
        created_by=by,
    )


@job_kind("import", label="Import", max_attempts=ATTEMPTS, retry_backoff=BACKOFF)
async def import_records(job: RunningJob) -> dict[str, Any]:
    """Parameters: `upload` (id). The result holds the counts and the first errors with their lines."""
    collection = await open_collection(job)
    try:
        upload = await find_upload(UUID(job.parameters["upload"]), tenant_id=job.tenant_id)
    except NotFound as error:
        raise PermanentFailure(error.message) from error
    run = _Import(job, collection, upload.pk, upload.file_name)
    progress = await run.run()
    await discard_uploads([upload.pk])
    return run.result(progress)


class _Import:
    def __init__(self, job: RunningJob, collection: TenantCollection, upload_id: UUID, file_name: str) -> None:
        self.job, self.collection = job, collection
        self.upload_id, self.file_name = upload_id, file_name
        self.state = ImportState(**job.saved_state)
        self.by: User | None = None
        self.position = 0
        self.waiting: dict[str, Record] = {}
        self.chars = 0

    async def run(self) -> IngestProgress:
        self.by = await User.objects.filter(pk=self.job.created_by_id).afirst()
        await self.job.progress(self.state.read, None, "Counting the records", unit="records")
        reporter = _Progress(self.job, max(await self._lines(), 1), self.state)
        progress = await run_ingest(self.job, self.collection, self._batches(), reporter)
        await self.job.progress(self.state.read, self.state.read, "", unit="records")
        if self.state.failed and not self.state.created + self.state.updated + self.state.unchanged:
            first = self.state.errors[0]
            raise PermanentFailure(
                f"None of the {self.state.failed:,} records can be used. Line {first['line']}: {first['message']}"
            )
        return progress

    async def _lines(self) -> int:
        """About the number of records; exact for JSONL without blank lines."""
        return sum([part.count(b"\n") async for part in upload_parts(self.upload_id)])

    async def _batches(self) -> AsyncIterator[Sequence[UUID]]:
        if self.state.read:
            async for ids in self._left_over():
                yield ids
        async with aclosing(read_records(upload_parts(self.upload_id), file_name=self.file_name)) as records:
            async for record in records:
                self.position += 1
                if self.position <= self.state.read:
                    continue
                if isinstance(record, Record) and self._is_full(record):
                    yield await self._save(self.position - 1)
                await self._take(record)
        if ids := await self._save(self.position):
            yield ids

    async def _left_over(self) -> AsyncIterator[Sequence[UUID]]:
        """What an earlier attempt wrote into the database and could not bring to Qdrant: when it was cancelled, or
        failed for good, its documents failed with it.
        """
        begun = Subquery(Job.objects.filter(pk=self.job.id).values("created_at"))
        failed = Q(status=DocumentStatus.FAILED, updated_at__gte=begun)
        unfinished = Q(status__in=[DocumentStatus.PENDING, DocumentStatus.INDEXING]) | failed
        rows = Document.objects.filter(unfinished, collection=self.collection, source=DocumentSource.IMPORT)
        ids = [pk async for pk in rows.values_list("pk", flat=True)]
        if ids:
            yield ids

    def _is_full(self, record: Record) -> bool:
        """Also when the id stands in this batch already: the later record is an update of the earlier one."""
        return record.external_id in self.waiting or len(self.waiting) >= BATCH_RECORDS or self.chars >= BATCH_CHARS

    async def _take(self, record: Record | BadRecord) -> None:
        if isinstance(record, BadRecord):
            message = f"{record.field}: {record.message}" if record.field else record.message
            await self._refuse(record.line, message)
            return
        self.waiting[record.external_id] = record
        self.chars += len(record.content)

    async def _refuse(self, line: int, message: str) -> None:
        self.state.refuse(line, message)
        await self.job.log("warning", f"Line {line:,}: {message}")

    async def _save(self, position: int) -> list[UUID]:
        """Documents and the place in the file in one transaction: a crash counts nothing twice."""
        records, self.waiting, self.chars = list(self.waiting.values()), {}, 0
        self.state.read = position
        ids, problems = await self.job.fenced(self._write, records)
        for line, message in problems:
            await self.job.log("warning", f"Line {line:,}: {message}")
        return ids

    def _write(self, records: list[Record]) -> tuple[list[UUID], list[tuple[int, str]]]:
        saved = save_records(self.collection, records, by=self.by)
        self.state.created += saved.created
        self.state.updated += saved.updated
        self.state.unchanged += saved.unchanged
        for line, message in saved.problems:
            self.state.refuse(line, message)
        leases.write(self.job.lease, saved_state=asdict(self.state))
        return saved.to_ingest, saved.problems

    def result(self, progress: IngestProgress) -> dict[str, Any]:
        return (
            asdict(self.state)
            | {"failed to index": progress.failed}
            | {name: count for name, count in counts_of(progress).items() if name.startswith("chunks")}
        )


class _Progress(Reporter):
    def __init__(self, job: RunningJob, total: int, state: ImportState) -> None:
        super().__init__(job, total)
        self.state = state

    async def show(self, progress: IngestProgress) -> None:
        done = min(progress.documents + self.state.failed + self.state.unchanged, self.state.read)
        speed = rate(progress.documents, "records", self.started)
        message = f"{progress.written:,} chunks, {speed}"
        if self.state.failed:
            message += f", {self.state.failed:,} refused"
        await self.job.progress(done, max(self.total, self.state.read), message, unit="records")


def refuse_foreign_file(file_name: str) -> None:
    """Before the bytes are stored. Raises InvalidInput."""
    if not file_name.lower().endswith((".jsonl", ".ndjson", ".csv", ".tsv")):
        raise InvalidInput("files", "Records come in files ending with .jsonl, .ndjson, .csv or .tsv.")
