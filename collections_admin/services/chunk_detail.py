"""One chunk from all sides: its point, the database's row, its neighbours in the document, the nearest by meaning."""

import asyncio
import math
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from collections_admin import qdrant
from collections_admin.concurrency import in_thread
from collections_admin.errors import NotFound, Unavailable
from collections_admin.models import Chunk, TenantCollection
from collections_admin.qdrant.filters import And, Equals, Range
from collections_admin.services.chunks import IN_ORDER, as_text
from collections_admin.services.payload_filters import FIELDS
from collections_admin.services.search import SearchOutcome, belongs_to, search, within_tenant
from collections_admin.services.standing import Standing, compare

NEAREST = 5
FIRST_NUMBERS = 24
NEIGHBOUR_FIELDS = ("content", "title", "chunk_index", "document_id")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """`number` counts from 1."""

    point_id: str
    number: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorView:
    """`norm` is the Euclidean length; `first` the first FIRST_NUMBERS of `size` numbers."""

    name: str
    size: int
    norm: float
    first: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A line of the comparison: what the database says, what Qdrant says."""

    name: str
    database: str
    qdrant: str
    is_same: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkDetail:
    """`payload` is None where Qdrant has none or it cannot be read; `notice` names what did not answer."""

    point_id: str
    standing: Standing
    title: str
    text: str
    payload: dict[str, Any] | None
    document_id: str
    number: int | None
    count: int | None
    is_archived: bool
    comparisons: tuple[Comparison, ...]
    database_text: str = ""
    unreadable: str = ""
    before: Neighbour | None = None
    after: Neighbour | None = None
    nearest: SearchOutcome | None = None
    vector: VectorView | None = None
    notice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """The database's side, with what is needed of the document."""

    index: int
    content: str
    embedding_model: str
    state: str
    rev: int
    document_id: uuid.UUID
    title: str
    chunk_count: int


async def chunk_detail(collection: TenantCollection, point_id: uuid.UUID, *, with_vector: bool = False) -> ChunkDetail:
    """What can be said of the chunk while Qdrant answers or not.

    Raises NotFound when neither side has it, Unavailable when Qdrant does not answer and the database has no row.
    """
    point_text = str(point_id)
    row, (points, failure), (nearest, _) = await asyncio.gather(
        _row_of(collection.pk, point_id),
        _unless_unavailable(qdrant.retrieve(collection.physical_name, [point_text], with_vectors=with_vector)),
        _unless_unavailable(_nearest(collection, point_text)),
    )
    point = points[0] if points else None
    if isinstance(point, qdrant.Point) and not belongs_to(collection, point.payload):
        raise NotFound
    if row is None and point is None:
        raise failure or NotFound("Neither Qdrant nor the database has this chunk.")
    payload = point.payload if isinstance(point, qdrant.Point) else None
    place = _Place.of(payload, row)
    before, after = await _neighbours(collection, place) if failure is None else (None, None)
    return ChunkDetail(
        point_id=point_text,
        standing=_standing(point, row, collection.embedding_model, failure),
        title=as_text((payload or {}).get("title")) or (row.title if row else ""),
        text=as_text(payload.get("content")) if payload is not None else row.content if row else "",
        payload=None if payload is None else _in_order(payload),
        document_id=place.document_id,
        number=place.index + 1 if place.index is not None else None,
        count=_count(payload, row),
        is_archived=(payload or {}).get("archived_at") is not None,
        comparisons=_comparisons(payload, row),
        database_text=row.content if row and payload is not None and payload.get("content") != row.content else "",
        unreadable=point.reason if isinstance(point, qdrant.UnreadablePoint) else "",
        before=before,
        after=after,
        nearest=nearest if point is not None else None,
        vector=_vector_view(getattr(point, "vector", None)),
        notice=failure.message if failure else "",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    document_id: str
    index: int | None

    @classmethod
    def of(cls, payload: dict[str, Any] | None, row: _Row | None) -> "_Place":
        index = (payload or {}).get("chunk_index")
        return cls(
            document_id=as_text((payload or {}).get("document_id")) or (str(row.document_id) if row else ""),
            index=index if isinstance(index, int) else row.index if row else None,
        )


@in_thread
def _row_of(collection_id: int, point_id: uuid.UUID) -> _Row | None:
    chunk = (
        Chunk.objects.filter(point_id=point_id, document__collection_id=collection_id)
        .values_list(
            "index",
            "content",
            "embedding_model",
            "state",
            "rev",
            "document_id",
            "document__title",
            "document__chunk_count",
        )
        .first()
    )
    return _Row(**dict(zip(_Row.__slots__, chunk, strict=True))) if chunk else None


async def _unless_unavailable(asked: Awaitable[T]) -> tuple[T | None, Unavailable | qdrant.CollectionMissing | None]:
    """The result, or the reason why Qdrant gives none."""
    try:
        return await asked, None
    except qdrant.PointMissing:
        return None, None
    except (Unavailable, qdrant.CollectionMissing) as error:
        return None, error


async def _nearest(collection: TenantCollection, point_id: str) -> SearchOutcome:
    return await search(collection, like=point_id, limit=NEAREST)


async def _neighbours(collection: TenantCollection, place: _Place) -> tuple[Neighbour | None, Neighbour | None]:
    if place.index is None or not place.document_id:
        return None, None
    around = And(
        Equals("document_id", place.document_id),
        Range("chunk_index", gte=place.index - 1, lte=place.index + 1),
    )
    page, _ = await _unless_unavailable(
        qdrant.scroll(
            collection.physical_name,
            within_tenant(collection, around),
            limit=9,
            order_by=IN_ORDER,
            fields=NEIGHBOUR_FIELDS,
        )
    )
    by_index = {
        point.payload.get("chunk_index"): point
        for point in (page.points if page else ())
        if isinstance(point, qdrant.Point)
    }
    return _neighbour(by_index.get(place.index - 1)), _neighbour(by_index.get(place.index + 1))


def _neighbour(point: qdrant.Point | None) -> Neighbour | None:
    if point is None:
        return None
    text = " ".join(as_text(point.payload.get("content")).split())
    return Neighbour(point_id=str(point.id), number=point.payload["chunk_index"] + 1, text=text[:160])


def _standing(
    point: qdrant.Point | qdrant.UnreadablePoint | None,
    row: _Row | None,
    model: str,
    failure: Exception | None,
) -> Standing:
    if failure is not None:
        return Standing.UNKNOWN
    if point is None:
        return Standing.MISSING_IN_QDRANT
    if isinstance(point, qdrant.UnreadablePoint):
        return Standing.UNREADABLE
    return compare(point.payload, row, model)


def _count(payload: dict[str, Any] | None, row: _Row | None) -> int | None:
    count = (payload or {}).get("chunk_count")
    return count if isinstance(count, int) else row.chunk_count if row else None


def _comparisons(payload: dict[str, Any] | None, row: _Row | None) -> tuple[Comparison, ...]:
    if payload is None or row is None:
        return ()
    text = as_text(payload.get("content"))
    return (
        Comparison(
            name="Text",
            database=f"{len(row.content):,} characters",
            qdrant="the same" if text == row.content else f"{len(text):,} characters",
            is_same=text == row.content,
        ),
        _compared("Model", row.embedding_model, payload.get("embedding_model")),
        _compared("Revision", row.rev, payload.get("rev")),
    )


def _in_order(payload: dict[str, Any]) -> dict[str, Any]:
    """Qdrant answers keys in any order; ours first, then the others by name, metadata last."""
    places = {key: place for place, key in enumerate(FIELDS)}
    return dict(sorted(payload.items(), key=lambda item: (item[0] == "meta", places.get(item[0], 99), item[0])))


def _compared(name: str, database: object, held: object) -> Comparison:
    return Comparison(name=name, database=as_text(database), qdrant=as_text(held) or "–", is_same=database == held)


def _vector_view(vector: Any) -> VectorView | None:
    """The first dense vector of a point."""
    named = vector if isinstance(vector, dict) else {"": vector}
    for name, numbers in named.items():
        if isinstance(numbers, list) and numbers and isinstance(numbers[0], float):
            norm = math.sqrt(math.fsum(number * number for number in numbers))
            return VectorView(name=name, size=len(numbers), norm=norm, first=tuple(numbers[:FIRST_NUMBERS]))
    return None
