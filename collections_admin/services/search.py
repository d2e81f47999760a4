"""Search by meaning in one collection: by a text, like a given chunk, or with a prepared vector."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from collections_admin import qdrant
from collections_admin.embeddings import get_model
from collections_admin.errors import InvalidInput
from collections_admin.models import Distance, Tenant, TenantCollection
from collections_admin.qdrant.filters import And, Equals, Filter
from collections_admin.services.payload_filters import PayloadFilters
from collections_admin.services.validation import clean_text

MAX_QUERY_CHARS = 2_000
MAX_LIMIT = 100
MAX_OFFSET = 10_000
HIT_FIELDS = (
    "content",
    "title",
    "document_id",
    "external_id",
    "chunk_index",
    "chunk_count",
    "archived_at",
)
NO_FILTERS = PayloadFilters()


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit:
    """`number` is the chunk's place in its document counted from 1, None where the payload does not say."""

    point_id: str
    rank: int
    score: float
    title: str
    text: str
    document_id: str
    external_id: str
    number: int | None
    count: int | None
    is_archived: bool
    unreadable: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchTiming:
    """Milliseconds; `embedding_ms` is None where no text was embedded, `client_ms` network and conversion."""

    embedding_ms: float | None
    qdrant_ms: float
    client_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """`next_offset` is None when fewer hits came than were asked for."""

    hits: tuple[SearchHit, ...]
    timing: SearchTiming
    next_offset: int | None


async def collections_of(tenant: Tenant) -> list[TenantCollection]:
    """Those that can be searched, by table."""
    return [row async for row in TenantCollection.objects.filter(tenant=tenant).order_by("table")]


async def search(
    collection: TenantCollection,
    *,
    text: str = "",
    like: uuid.UUID | str | None = None,
    vector: Sequence[float] | None = None,
    filters: PayloadFilters = NO_FILTERS,
    limit: int = 10,
    offset: int = 0,
    threshold: float | None = None,
) -> SearchOutcome:
    """Nearest chunks, best first; archived ones where `filters` ask for them. One of text, like, vector.

    Model and physical collection come from the one row given: a switch of versions cannot mix them. Raises
    InvalidInput naming the argument, PointMissing, EmbeddingUnavailable and what a call to Qdrant may raise.
    """
    if (bool(text) + (like is not None) + (vector is not None)) != 1:
        raise InvalidInput("query", "Search for a text or for chunks like another one, not both.")
    check_threshold(collection, threshold)
    started = perf_counter()
    if text:
        text = clean_text(text, "query", MAX_QUERY_CHARS)
        vector = await get_model(collection.embedding_model).embed_query(text)
    embedded = perf_counter()
    found = await qdrant.query(
        collection.physical_name,
        vector=vector,
        point_id=None if like is None else str(like),
        condition=within_tenant(collection, filters.condition()),
        limit=_within("limit", limit, 1, MAX_LIMIT),
        offset=_within("offset", offset, 0, MAX_OFFSET),
        score_threshold=threshold,
        fields=HIT_FIELDS,
    )
    return SearchOutcome(
        hits=tuple(_hit(hit, rank) for rank, hit in enumerate(found.hits, start=offset + 1)),
        timing=SearchTiming(
            embedding_ms=(embedded - started) * 1000 if text else None,
            qdrant_ms=found.server_s * 1000,
            client_ms=max(0.0, found.total_s - found.server_s) * 1000,
        ),
        next_offset=offset + limit if len(found.hits) == limit and offset + limit <= MAX_OFFSET else None,
    )


def within_tenant(collection: TenantCollection, condition: Filter | None) -> Filter:
    """The registry says whose collection it is; a foreign point that got into it stays unseen all the same."""
    return And(Equals("tenant_id", collection.tenant_id), condition)


def belongs_to(collection: TenantCollection, payload: dict[str, Any]) -> bool:
    return payload.get("tenant_id", collection.tenant_id) == collection.tenant_id


def check_threshold(collection: TenantCollection, threshold: float | None) -> None:
    """Cosine scores lie between -1 and 1, others anywhere. Raises InvalidInput (`threshold`)."""
    if threshold is None:
        return
    if not math.isfinite(threshold) or abs(threshold) > 1e9:
        raise InvalidInput("threshold", "The score must be a number between -1e9 and 1e9.")
    if collection.distance == Distance.COSINE and not -1 <= threshold <= 1:
        raise InvalidInput("threshold", f"Cosine scores lie between -1 and 1, not at {threshold:g}.")


def _within(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise InvalidInput(name, f"It must be a whole number between {low:,} and {high:,}.")
    return value


def _hit(hit: qdrant.Hit, rank: int) -> SearchHit:
    payload = hit.payload
    index = payload.get("chunk_index")
    return SearchHit(
        point_id=str(hit.id),
        rank=rank,
        score=hit.score,
        title=_text(payload.get("title")),
        text=_text(payload.get("content")),
        document_id=_text(payload.get("document_id")),
        external_id=_text(payload.get("external_id")),
        number=index + 1 if isinstance(index, int) else None,
        count=payload.get("chunk_count") if isinstance(payload.get("chunk_count"), int) else None,
        is_archived=payload.get("archived_at") is not None,
        unreadable=hit.unreadable,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
