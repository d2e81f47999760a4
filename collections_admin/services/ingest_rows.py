"""What an ingest reads from and writes to the database. Synchronous; the writers belong into a fenced transaction.

A document is only ever written while it has the rev that the ingest read: what somebody changes meanwhile stays.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from collections_admin.models import Chunk, ChunkState, Document, DocumentStatus, TenantCollection
from collections_admin.services.bulk_rows import update_each
from collections_admin.services.chunk_rows import (
    ChunkRow,
    delete_rows,
    living_points,
    rows_of,
    settle_rows,
    write_rows,
)
from collections_admin.services.ingest_plan import Piece, Plan, Source
from collections_admin.services.parsing import ParsedText
from collections_admin.services.uploads import remove_uploads

ALIVE = {"deleted_at__isnull": True}
FINISHED = ("status", "error", "indexed_rev", "chunk_count", "token_count", "timings", "indexed_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Enough of a document to decide how many are read at once. `size` in bytes of text."""

    id: UUID
    title: str
    size: int
    rev: int
    upload_id: UUID | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """`superseded` were changed or deleted meanwhile; `strays` are points of theirs that must leave Qdrant again."""

    superseded: set[UUID]
    strays: list[str]


def document_hash(title: str, content: str, meta: dict[str, Any]) -> str:
    """sha256 of all that makes the points of a document, hexadecimal."""
    text = json.dumps([title, content, meta], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def heads_of(collection_id: int, ids: Collection[UUID]) -> list[Head]:
    rows = Document.objects.filter(collection_id=collection_id, pk__in=ids, **ALIVE)
    fields = rows.order_by("created_at", "pk").values_list("pk", "title", "size_bytes", "rev", "upload_id")
    return [
        Head(id=pk, title=title, size=size, rev=rev, upload_id=upload_id) for pk, title, size, rev, upload_id in fields
    ]


def sources_of(ids: Collection[UUID]) -> list[tuple[Source, dict[int, ChunkRow]]]:
    """The documents with their text, and the rows of their chunks."""
    rows = rows_of(ids)
    fields = tuple(name for name in Source.__dataclass_fields__ if name != "id")
    found = Document.objects.filter(pk__in=ids, **ALIVE).order_by("created_at", "pk").values("pk", *fields)
    sources = [Source(id=values.pop("pk"), **values) for values in found]
    return [(source, rows[source.id]) for source in sources]


def take_text(document_id: UUID, upload_id: UUID, parsed: ParsedText) -> None:
    """Make the text of an upload that of its document, unless a newer file was handed in meanwhile."""
    document = Document.objects.select_for_update().filter(pk=document_id, upload_id=upload_id, **ALIVE).first()
    if document is None:
        return
    new_hash = document_hash(parsed.title, parsed.text, document.meta)
    if new_hash != document.content_hash:
        document.rev += 1 if document.content_hash else 0
        document.title, document.content, document.content_hash = parsed.title, parsed.text, new_hash
        document.size_bytes = len(parsed.text.encode())
    document.media_type = parsed.media_type
    document.upload = None
    document.error = ""
    if document.indexed_rev == document.rev:
        document.status = _final_status(document)
    document.save()
    remove_uploads([upload_id])


def _final_status(document: Document) -> str:
    return DocumentStatus.ARCHIVED if document.archived_at else DocumentStatus.INDEXED


def fail_document(document_id: UUID, rev: int, error: str) -> None:
    Document.objects.filter(pk=document_id, rev=rev, **ALIVE).update(status=DocumentStatus.FAILED, error=error)


def begin_documents(ids: Collection[UUID]) -> None:
    waiting = Document.objects.filter(pk__in=ids, status=DocumentStatus.PENDING, **ALIVE)
    waiting.update(status=DocumentStatus.INDEXING)


def begin_plans(collection: TenantCollection, plans: Sequence[Plan]) -> set[UUID]:
    """Write what Qdrant is about to get, marked as pending. Returns the documents that may go on."""
    revs = _locked_revs([plan.source.id for plan in plans])
    going = [plan for plan in plans if revs.get(plan.source.id) == plan.source.rev]
    write_rows(_row(collection, plan, piece) for plan in going for piece in plan.write)
    surplus = [point_id for plan in going for point_id in plan.surplus]
    Chunk.objects.filter(point_id__in=surplus).update(state=ChunkState.DELETING, updated_at=timezone.now())
    ids = {plan.source.id for plan in going}
    Document.objects.filter(pk__in=ids).update(status=DocumentStatus.INDEXING, error="")
    return ids


def _row(collection: TenantCollection, plan: Plan, piece: Piece) -> tuple[Any, ...]:
    """In the order of `chunk_rows.WRITTEN`."""
    return (
        piece.document_id,
        piece.index,
        piece.point_id,
        piece.text,
        piece.content_hash,
        collection.embedding_model,
        piece.tokens,
        plan.source.rev,
    )


def still_current(plans: Sequence[Plan]) -> list[Plan]:
    revs = _locked_revs([plan.source.id for plan in plans])
    return [plan for plan in plans if revs.get(plan.source.id) == plan.source.rev]


def settle(pieces: Sequence[tuple[Plan, Piece]], finishing: Sequence[Plan]) -> Settled:
    """Confirm what Qdrant has taken, and end the documents that are complete with it."""
    plans = {plan.source.id: plan for plan in finishing} | {plan.source.id: plan for plan, _ in pieces}
    revs = _locked_revs(list(plans))
    current = {pk for pk, plan in plans.items() if revs.get(pk) == plan.source.rev}
    settle_rows([piece.point_id for plan, piece in pieces], current)
    _finish([plan for plan in finishing if plan.source.id in current])
    written = [piece.point_id for plan, piece in pieces if plan.source.id not in current]
    strays = set(written) - living_points(written)
    return Settled(superseded=plans.keys() - current, strays=sorted(map(str, strays)))


def _finish(plans: Sequence[Plan]) -> None:
    if surplus := [point_id for plan in plans for point_id in plan.surplus]:
        delete_rows(surplus)
    for plan in plans:
        if plan.refresh:
            Chunk.objects.filter(document_id=plan.source.id).update(rev=plan.source.rev)
    update_each(Document, FINISHED, [_finished(plan, timezone.now()) for plan in plans])


def _finished(plan: Plan, now: datetime) -> tuple[Any, ...]:
    source = plan.source
    return (
        source.final_status,
        "",
        source.rev,
        plan.chunk_count,
        plan.token_count,
        plan.timings,
        now,
        source.id,
    )


def unsettle(ids: Collection[UUID]) -> None:
    """Have everything of these documents written again: an older ingest may have touched their payloads."""
    Chunk.objects.filter(document_id__in=ids, state=ChunkState.SETTLED).update(state=ChunkState.PENDING)
    Document.objects.filter(pk__in=ids, **ALIVE).update(status=DocumentStatus.PENDING, indexed_rev=0)


def _locked_revs(ids: Sequence[UUID]) -> dict[UUID, int]:
    rows = Document.objects.select_for_update().filter(pk__in=ids, **ALIVE).order_by("pk")
    return dict(rows.values_list("pk", "rev"))
