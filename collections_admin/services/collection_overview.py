"""What the pages say about collections: what the database knows, and beside it what Qdrant answers."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Count, Q, QuerySet

from collections_admin import qdrant
from collections_admin.concurrency import in_thread
from collections_admin.errors import ConsoleError, NotFound, QdrantRejected, Unavailable
from collections_admin.models import Chunk, ChunkState, Document, DocumentStatus, Job, Tenant, TenantCollection
from collections_admin.models.jobs import OPEN_STATUSES
from collections_admin.services.documents import WAITING
from collections_admin.services.tenant_collections import forget_ensured
from collections_admin.types import Notice

BATCH = 20  # rows whose details one request asks for
ASKED_AT_ONCE = 5
OPEN_JOBS_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionRow:
    """A line of the list. `status` is empty until Qdrant was asked; then `points` is its approximation, or None."""

    table: str
    alias: str
    physical_name: str
    embedding_model: str
    vector_size: int
    is_protected: bool
    removal: str
    documents: int
    failed: int
    last_ingest_at: datetime | None
    status: str = ""
    meaning: str = ""
    points: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionList:
    """`notice` names why Qdrant's columns are empty, None when it answered. `total` counts before filtering."""

    rows: list[CollectionRow]
    total: int
    missing: int | None
    notice: Notice | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenJob:
    id: str
    short_id: str
    kind: str
    status: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """`by_status` holds each document status with its number; `chunks` are those meant to be in Qdrant."""

    documents: int
    by_status: list[tuple[str, int]]
    chunks: int
    unsettled: int
    archived: int
    open_jobs: list[OpenJob]

    @property
    def waiting(self) -> int:
        """Documents that no job is going to ingest by itself."""
        if self.open_jobs:
            return 0
        return sum(number for status, number in self.by_status if status in WAITING)


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadIndexRow:
    """`points` is how many points the index covers, None for a field that should have one and has not."""

    name: str
    type: str
    points: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionState:
    """`info` is None when Qdrant has no such collection (`is_missing`) or did not answer (`notice`)."""

    info: qdrant.CollectionInfo | None
    is_missing: bool
    notice: Notice | None
    indexes: list[PayloadIndexRow]

    @property
    def status(self) -> str:
        if self.info is not None:
            return self.info.status
        return "missing" if self.is_missing else "unknown"


# ---- list


async def list_collections(tenant: Tenant) -> CollectionList:
    """All of the tenant's, by table: one call of Qdrant tells which of them it holds, details come later."""
    rows = await _rows(TenantCollection.objects.filter(tenant=tenant))
    try:
        aliases = await qdrant.list_aliases() if rows else {}
    except Unavailable as error:
        return CollectionList(rows=rows, total=len(rows), missing=None, notice=outage_notice(error))
    seen = [row if aliases.get(row.alias) == row.physical_name else _as_missing(row) for row in rows]
    return CollectionList(rows=seen, total=len(seen), missing=sum(row.status == "missing" for row in seen), notice=None)


async def list_with_details(tenant: Tenant, tables: Sequence[str]) -> list[CollectionRow]:
    """These tables' lines with status and points; tables that are not the tenant's are left out."""
    found = {row.table: row for row in await _rows(TenantCollection.objects.filter(tenant=tenant, table__in=tables))}
    slots = asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(row: CollectionRow) -> CollectionRow:
        async with slots:
            return await _with_status(row)

    return list(await asyncio.gather(*(ask(found[table]) for table in tables if table in found)))


async def _with_status(row: CollectionRow) -> CollectionRow:
    try:
        info = await qdrant.collection_info(row.alias, exact_count=False)
    except NotFound:
        return _as_missing(row)
    except ConsoleError as error:
        return replace(row, status="unknown", meaning=error.message)
    return replace(row, status=info.status, meaning=info.status_meaning, points=info.points)


def _as_missing(row: CollectionRow) -> CollectionRow:
    forget_ensured(row.physical_name)
    return replace(row, status="missing", meaning="In the registry but not in Qdrant: ensure it to create it again.")


@in_thread
def _rows(found: QuerySet[TenantCollection]) -> list[CollectionRow]:
    counts = {
        known["collection"]: known
        for known in Document.objects.filter(collection__in=found.values("pk"), deleted_at=None)
        .order_by()
        .values("collection")
        .annotate(documents=Count("pk"), failed=Count("pk", filter=Q(status=DocumentStatus.FAILED)))
    }
    return [_row(row, counts.get(row.pk, {})) for row in found.order_by("table")]


def _row(row: TenantCollection, counts: dict[str, int]) -> CollectionRow:
    return CollectionRow(
        table=row.table,
        alias=row.alias,
        physical_name=row.physical_name,
        embedding_model=row.embedding_model,
        vector_size=row.vector_size,
        is_protected=row.is_protected,
        removal=row.removal,
        documents=counts.get("documents", 0),
        failed=counts.get("failed", 0),
        last_ingest_at=row.last_ingest_at,
    )


def outage_notice(error: Unavailable) -> Notice:
    """Names what happened, and what the page still knows."""
    text = "Names and numbers of documents come from the database and are current. What Qdrant knows is left empty."
    kind = "warn" if isinstance(error, QdrantRejected) else "bad"
    return Notice(kind=kind, title=error.message.removesuffix("."), text=text)


# ---- one collection


async def collection_state(row: TenantCollection) -> CollectionState:
    """What Qdrant knows, its points counted exactly. Never raises for what Qdrant does."""
    try:
        info = await qdrant.collection_info(row.alias)
    except NotFound:
        forget_ensured(row.physical_name)
        return CollectionState(info=None, is_missing=True, notice=None, indexes=[])
    except Unavailable as error:
        return CollectionState(info=None, is_missing=False, notice=outage_notice(error), indexes=[])
    return CollectionState(info=info, is_missing=False, notice=None, indexes=list(_indexes(info)))


def _indexes(info: qdrant.CollectionInfo) -> Iterable[PayloadIndexRow]:
    present = {field.name for field in info.payload_schema}
    for field in info.payload_schema:
        yield PayloadIndexRow(name=field.name, type=field.type, points=field.points)
    for index in qdrant.PAYLOAD_INDEXES:
        if index.field not in present:
            yield PayloadIndexRow(name=index.field, type=index.type, points=None)


@in_thread
def database_facts(row: TenantCollection) -> DatabaseFacts:
    documents = Document.objects.filter(collection=row, deleted_at=None)
    found = dict(documents.order_by().values_list("status").annotate(Count("pk")))
    chunks = Chunk.objects.filter(document__collection=row)
    jobs = Job.objects.filter(collection=row, status__in=OPEN_STATUSES).order_by("created_at")[:OPEN_JOBS_SHOWN]
    return DatabaseFacts(
        documents=sum(found.values()),
        by_status=[(status, found[status]) for status in DocumentStatus.values if status in found],
        chunks=chunks.exclude(state=ChunkState.DELETING).count(),
        unsettled=chunks.exclude(state=ChunkState.SETTLED).count(),
        archived=found.get(DocumentStatus.ARCHIVED, 0),
        open_jobs=[OpenJob(id=str(job.pk), short_id=job.short_id, kind=job.kind, status=job.status) for job in jobs],
    )
