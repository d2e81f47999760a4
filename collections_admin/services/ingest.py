"""The ETL engine: documents → chunks → embeddings → points.

Four stages run at once, joined by short queues, so that memory does not grow with the number of documents: one splits
and writes the rows of chunks (pending), one embeds, one upserts, one settles. Point ids are deterministic and every
step looks at what is there: an ingest that died anywhere is completed by running it again, and one that is repeated
changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Protocol, TypeVar
from uuid import UUID

from django.utils import timezone

from collections_admin import qdrant
from collections_admin.concurrency import in_thread
from collections_admin.cpu import compute
from collections_admin.embeddings import EmbeddingModel, get_model
from collections_admin.errors import Conflict, InvalidInput, Unavailable
from collections_admin.models import ChunkState, TenantCollection
from collections_admin.services import ingest_rows
from collections_admin.services.chunk_rows import ChunkRow
from collections_admin.services.ingest_plan import Piece, Plan, Source, document_payload, make_plan, points_of
from collections_admin.services.ingest_rows import Head
from collections_admin.services.lost_points import missing_points
from collections_admin.services.parsing import parse
from collections_admin.services.splitting import TextPiece, split_text
from collections_admin.services.uploads import find_upload, upload_parts

T = TypeVar("T")
_Sourced = tuple[Source, dict[int, ChunkRow]]

HEADS_AT_ONCE = 500  # documents looked at together
GROUP_BYTES = 300_000  # text of documents that are read and planned together
SPLIT_CHARS = 40_000  # text given to a computing thread at once
PORTION_CHUNKS = 256
PORTION_CHARS = 400_000
QUEUED_PORTIONS = 2  # between two stages
ROUNDS = 3  # for documents that are changed while they are ingested


class IngestHost(Protocol):
    """What an ingest needs of the job it runs in (`jobs.context.RunningJob`)."""

    async def checkpoint(self) -> None: ...

    async def confirm(self) -> None: ...

    async def fenced(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a document: indexed, unchanged, failed or gone (deleted meanwhile)."""

    document_id: UUID
    title: str
    state: str
    error: str = ""


@dataclass(kw_only=True, slots=True)
class IngestProgress:
    """Counts so far. `chunks` are those planned to be written, `written` those that Qdrant confirmed.

    `lost` had been confirmed and were found missing.
    """

    indexed: int = 0
    unchanged: int = 0
    failed: int = 0
    gone: int = 0
    chunks: int = 0
    written: int = 0
    refreshed: int = 0
    removed: int = 0
    lost: int = 0

    @property
    def documents(self) -> int:
        return self.indexed + self.unchanged + self.failed + self.gone


Report = Callable[[IngestProgress, Sequence[Outcome]], Awaitable[None]]


async def _silent(progress: IngestProgress, outcomes: Sequence[Outcome]) -> None:
    pass


async def ingest_documents(
    collection: TenantCollection,
    batches: AsyncIterator[Sequence[UUID]],
    *,
    host: IngestHost,
    report: Report = _silent,
) -> IngestProgress:
    """Bring Qdrant to what the database says of these documents. The collection must exist in Qdrant.

    `report` is awaited after each portion. Raises what Qdrant, the model and the host raise; faults of a single
    document become its status and an Outcome instead. Conflict when the model does not fit into the collection.
    """
    model = get_model(collection.embedding_model)
    if model.info.dimension != collection.vector_size:
        raise Conflict(
            f"{collection.alias} holds vectors of {collection.vector_size} numbers, "
            f"{model.info.name} makes {model.info.dimension}: reindex the collection with its model."
        )
    ingest = _Ingest(collection, model, host, report)
    await ingest.run(batches)
    return ingest.progress


async def in_batches(ids: Sequence[UUID], size: int = HEADS_AT_ONCE) -> AsyncIterator[Sequence[UUID]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


@dataclass(kw_only=True, slots=True)
class _Portion:
    """Chunks that travel together, and the documents that are complete once these are written."""

    pieces: list[tuple[Plan, Piece]] = field(default_factory=list)
    finishing: list[Plan] = field(default_factory=list)
    chars: int = 0
    vectors: list[list[float]] = field(default_factory=list)
    refreshed: list[Plan] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return max(len(self.pieces), len(self.finishing)) >= PORTION_CHUNKS or self.chars >= PORTION_CHARS

    def spend(self, step: str, seconds: float) -> None:
        """Charge the documents by their share of the chunks."""
        for plan, _ in self.pieces:
            plan.spend(step, seconds / len(self.pieces))


class _Ingest:
    def __init__(self, collection: TenantCollection, model: EmbeddingModel, host: IngestHost, report: Report) -> None:
        self.collection, self.model, self.host, self.report = collection, model, host, report
        self.progress = IngestProgress()
        self.again: list[UUID] = []
        self.portion = _Portion()
        self.to_embed: asyncio.Queue[_Portion | None]
        self.to_write: asyncio.Queue[_Portion | None]
        self.to_settle: asyncio.Queue[_Portion | None]

    async def run(self, batches: AsyncIterator[Sequence[UUID]]) -> None:
        await self._round(batches)
        for _ in range(ROUNDS - 1):
            if not self.again:
                break
            ids, self.again = self.again, []
            await self._round(in_batches(ids))
        if self.progress.indexed:
            await TenantCollection.objects.filter(pk=self.collection.pk).aupdate(last_ingest_at=timezone.now())

    async def _round(self, batches: AsyncIterator[Sequence[UUID]]) -> None:
        self.to_embed = asyncio.Queue(QUEUED_PORTIONS)
        self.to_write = asyncio.Queue(QUEUED_PORTIONS)
        self.to_settle = asyncio.Queue(1)
        try:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self._plan_all(batches))
                stages.create_task(self._embed_all())
                stages.create_task(self._write_all())
                stages.create_task(self._settle_all())
        except BaseExceptionGroup as group:
            raise _cause(group) from group

    # ---- first stage: read, parse, split, write rows

    async def _plan_all(self, batches: AsyncIterator[Sequence[UUID]]) -> None:
        async for ids in batches:
            heads = await in_thread(ingest_rows.heads_of)(self.collection.pk, ids)
            found = {head.id for head in heads}
            await self._tell([Outcome(document_id=pk, title="", state="gone") for pk in ids if pk not in found])
            for group in _groups(heads):
                await self.host.checkpoint()
                await self._plan_group(group)
        await self._send()
        await self.to_embed.put(None)

    async def _plan_group(self, heads: Sequence[Head]) -> None:
        readable = [head.id for head in heads if await self._read_upload(head)]
        plans = await self._plans(await self._compared(await in_thread(ingest_rows.sources_of)(readable)))
        going = await self.host.fenced(ingest_rows.begin_plans, self.collection, plans) if plans else set()
        for plan in plans:
            if plan.source.id in going:
                await self._add(plan)
            else:
                self.again.append(plan.source.id)

    async def _read_upload(self, head: Head) -> bool:
        """True when the text of the document is there to be split."""
        if head.upload_id is None:
            return True
        try:
            upload = await find_upload(head.upload_id, tenant_id=self.collection.tenant_id)
            content = b"".join([part async for part in upload_parts(upload.pk)])
            parsed = await parse(content, file_name=upload.file_name, media_type=upload.media_type)
        except InvalidInput as error:
            await self._fail(head.id, head.title, head.rev, error.message)
            return False
        await self.host.fenced(ingest_rows.take_text, head.id, upload.pk, parsed)
        return True

    async def _compared(self, sources: Sequence[_Sourced]) -> list[_Sourced]:
        """What Qdrant has lost of them counts as pending."""
        try:
            missing = await missing_points(self.collection.alias, [row for _, rows in sources for row in rows.values()])
        except (Unavailable, qdrant.CollectionMissing):
            # It is this ingest that they wait for: its job says why.
            await self.host.fenced(ingest_rows.begin_documents, [source.id for source, _ in sources])
            raise
        self.progress.lost += len(missing)
        return [(source, _without(missing, rows)) for source, rows in sources]

    async def _plans(self, sources: Sequence[_Sourced]) -> list[Plan]:
        plans: list[Plan] = []
        unchanged: list[Outcome] = []
        for some in _by_chars(sources):
            started = perf_counter()
            split = await compute(self._split, [source.content for source, _ in some])
            seconds = perf_counter() - started
            for (source, rows), pieces in zip(some, split, strict=True):
                if not pieces:
                    await self._fail(source.id, source.title, source.rev, "The document holds no text.")
                    continue
                plan = make_plan(self.collection, replace(source, content=""), pieces, rows)
                plan.spend("split", seconds / len(some))
                if plan.is_done:
                    unchanged.append(Outcome(document_id=source.id, title=source.title, state="unchanged"))
                else:
                    plans.append(plan)
        await self._tell(unchanged)
        return plans

    def _split(self, texts: Sequence[str]) -> list[list[TextPiece]]:
        size, overlap = self.collection.chunk_size, self.collection.chunk_overlap
        return [split_text(text, chunk_size=size, overlap=overlap) for text in texts]

    async def _add(self, plan: Plan) -> None:
        self.progress.chunks += len(plan.write)
        for piece in plan.write:
            self.portion.pieces.append((plan, piece))
            self.portion.chars += len(piece.text)
            if self.portion.is_full:
                await self._send()
        self.portion.finishing.append(plan)
        if self.portion.is_full:
            await self._send()

    async def _send(self) -> None:
        portion, self.portion = self.portion, _Portion()
        if portion.pieces or portion.finishing:
            await self.to_embed.put(portion)

    # ---- second stage

    async def _embed_all(self) -> None:
        while (portion := await self.to_embed.get()) is not None:
            if portion.pieces:
                await self.host.checkpoint()
                started = perf_counter()
                portion.vectors = await self.model.embed([piece.text for _, piece in portion.pieces])
                portion.spend("embed", perf_counter() - started)
            await self.to_write.put(portion)
        await self.to_write.put(None)

    # ---- third stage

    async def _write_all(self) -> None:
        while (portion := await self.to_write.get()) is not None:
            await self._upsert(portion)
            portion.refreshed = await self._refresh(portion)
            await self.to_settle.put(portion)
        await self.to_settle.put(None)

    async def _upsert(self, portion: _Portion) -> None:
        now, started = timezone.now(), perf_counter()
        points = points_of(self.collection, portion.pieces, portion.vectors, now)
        await self.host.confirm()
        await qdrant.upsert_points(self.collection.alias, points, only_newer_rev=True, same_rev_too=True)
        portion.spend("upsert", perf_counter() - started)

    async def _refresh(self, portion: _Portion) -> list[Plan]:
        """Bring the payload of unchanged chunks up to date, and remove what a shortened text no longer has."""
        plans = [plan for plan in portion.finishing if plan.refresh or plan.surplus]
        if not plans:
            return []
        plans = await self.host.fenced(ingest_rows.still_current, plans)
        for plan in plans:
            started = perf_counter()
            for ids in _some(plan.refresh):
                await qdrant.set_payload(self.collection.alias, document_payload(plan), ids, lane="bulk")
            await qdrant.delete_points(self.collection.alias, [str(pk) for pk in plan.surplus], lane="bulk")
            plan.spend("upsert", perf_counter() - started)
            self.progress.refreshed += len(plan.refresh)
            self.progress.removed += len(plan.surplus)
        return plans

    # ---- fourth stage

    async def _settle_all(self) -> None:
        while (portion := await self.to_settle.get()) is not None:
            settled = await self.host.fenced(ingest_rows.settle, portion.pieces, portion.finishing)
            self.progress.written += len(portion.pieces)
            if settled.superseded:
                await self._undo(settled, portion.refreshed)
            await self._tell(self._indexed(portion, settled.superseded))

    async def _undo(self, settled: ingest_rows.Settled, refreshed: Sequence[Plan]) -> None:
        """Somebody changed documents while their older text was being written: theirs must win."""
        await qdrant.delete_points(self.collection.alias, settled.strays, lane="bulk")
        touched = [plan.source.id for plan in refreshed if plan.source.id in settled.superseded and plan.refresh]
        if touched:
            await self.host.fenced(ingest_rows.unsettle, touched)
        self.again += [pk for pk in settled.superseded if pk not in self.again]

    def _indexed(self, portion: _Portion, superseded: set[UUID]) -> list[Outcome]:
        return [
            Outcome(document_id=plan.source.id, title=plan.source.title, state="indexed")
            for plan in portion.finishing
            if plan.source.id not in superseded
        ]

    # ---- reports

    async def _fail(self, document_id: UUID, title: str, rev: int, error: str) -> None:
        await self.host.fenced(ingest_rows.fail_document, document_id, rev, error)
        await self._tell([Outcome(document_id=document_id, title=title, state="failed", error=error)])

    async def _tell(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            setattr(self.progress, outcome.state, getattr(self.progress, outcome.state) + 1)
        await self.report(self.progress, outcomes)


def _groups(heads: Sequence[Head]) -> Iterator[list[Head]]:
    """Documents to hold in memory together. The text of an upload is not known yet: it goes alone."""
    group: list[Head] = []
    size = 0
    for head in heads:
        if group and (head.upload_id or group[-1].upload_id or size + head.size > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(head)
        size += head.size
    if group:
        yield group


def _without(missing: Collection[UUID], rows: dict[int, ChunkRow]) -> dict[int, ChunkRow]:
    if not missing:
        return rows
    return {
        index: replace(row, state=ChunkState.PENDING) if row.point_id in missing else row for index, row in rows.items()
    }


def _by_chars(sources: Sequence[_Sourced]) -> Iterator[list[_Sourced]]:
    some: list[_Sourced] = []
    chars = 0
    for entry in sources:
        some.append(entry)
        chars += len(entry[0].content)
        if chars >= SPLIT_CHARS:
            yield some
            some, chars = [], 0
    if some:
        yield some


def _some(ids: Sequence[UUID], size: int = 500) -> Iterator[list[str]]:
    return ([str(pk) for pk in ids[start : start + size]] for start in range(0, len(ids), size))


def _cause(group: BaseExceptionGroup) -> BaseException:
    """The first fault of the stages; what it made the others raise is its consequence."""
    first = group.exceptions[0]
    return _cause(first) if isinstance(first, BaseExceptionGroup) else first
