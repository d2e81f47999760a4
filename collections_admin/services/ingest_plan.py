"""What an ingest has to do for one document: compared with the rows of its chunks, nothing is done twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from collections_admin.models import ChunkState, DocumentStatus, TenantCollection
from collections_admin.qdrant import PointToWrite
from collections_admin.services.chunk_rows import ChunkRow, point_id_of, text_hash
from collections_admin.services.splitting import TextPiece


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A document as its ingest read it; `rev` is what the ingest may write."""

    id: UUID
    external_id: str
    title: str
    content: str = field(repr=False)
    meta: dict[str, Any]
    status: str
    rev: int
    indexed_rev: int
    archived_at: datetime | None
    upload_id: UUID | None

    @property
    def final_status(self) -> str:
        return DocumentStatus.ARCHIVED if self.archived_at else DocumentStatus.INDEXED


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A chunk that is to be embedded and written."""

    document_id: UUID
    index: int
    point_id: UUID
    text: str = field(repr=False)
    content_hash: str
    tokens: int


@dataclass(kw_only=True, slots=True)
class Plan:
    """`refresh` are points whose text stays while title, metadata or archiving changed: payload alone is set.

    `timings` are milliseconds by step, filled as the plan is carried out.
    """

    source: Source
    chunk_count: int
    token_count: int
    write: list[Piece]
    refresh: list[UUID]
    surplus: list[UUID]
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Database and Qdrant hold all of it already."""
        source = self.source
        untouched = not (self.write or self.refresh or self.surplus)
        return untouched and source.indexed_rev == source.rev and source.status == source.final_status

    def spend(self, step: str, seconds: float) -> None:
        self.timings[step] = round(self.timings.get(step, 0.0) + seconds * 1000, 1)


def make_plan(collection: TenantCollection, source: Source, pieces: list[TextPiece], rows: dict[int, ChunkRow]) -> Plan:
    plan = Plan(
        source=source,
        chunk_count=len(pieces),
        token_count=sum(piece.tokens for piece in pieces),
        write=[],
        refresh=[],
        surplus=[row.point_id for index, row in rows.items() if index >= len(pieces)],
    )
    for text_piece in pieces:
        piece = _piece(collection, source, text_piece)
        row = rows.get(piece.index)
        if row is None or not _holds(row, piece, collection.embedding_model):
            plan.write.append(piece)
        elif source.indexed_rev != source.rev:
            plan.refresh.append(row.point_id)
    return plan


def _piece(collection: TenantCollection, source: Source, piece: TextPiece) -> Piece:
    return Piece(
        document_id=source.id,
        index=piece.index,
        point_id=point_id_of(collection.pk, source.id, piece.index),
        text=piece.text,
        content_hash=text_hash(piece.text),
        tokens=piece.tokens,
    )


def _holds(row: ChunkRow, piece: Piece, model: str) -> bool:
    """Qdrant confirmed this very text under this model at this very id."""
    return (
        row.state == ChunkState.SETTLED
        and row.content_hash == piece.content_hash
        and row.embedding_model == model
        and row.point_id == piece.point_id
    )


def points_of(
    collection: TenantCollection,
    pieces: Sequence[tuple[Plan, Piece]],
    vectors: Sequence[Sequence[float]],
    indexed_at: datetime,
) -> list[PointToWrite]:
    plans = {plan.source.id: plan for plan, _ in pieces}
    common = {pk: _common_payload(collection, plan, indexed_at) for pk, plan in plans.items()}
    return [
        PointToWrite(
            id=piece.point_id,
            vector=vector,
            payload={"chunk_index": piece.index, "content": piece.text, "content_hash": piece.content_hash},
            common=common[piece.document_id],
        )
        for (_, piece), vector in zip(pieces, vectors, strict=True)
    ]


def _common_payload(collection: TenantCollection, plan: Plan, indexed_at: datetime) -> dict[str, Any]:
    return document_payload(plan) | {
        "tenant_id": collection.tenant_id,
        "table_name": collection.table,
        "document_id": str(plan.source.id),
        "external_id": plan.source.external_id,
        "embedding_model": collection.embedding_model,
        "indexed_at": indexed_at.isoformat(),
    }


def document_payload(plan: Plan) -> dict[str, Any]:
    """The part of a point's payload that follows the document and not the chunk's text."""
    source = plan.source
    return {
        "title": source.title,
        "chunk_count": plan.chunk_count,
        "archived_at": source.archived_at.isoformat() if source.archived_at else None,
        "rev": source.rev,
        "meta": source.meta,
    }
