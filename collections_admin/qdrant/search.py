"""Nearest points to a vector or to a stored point."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from qdrant_client import grpc as pb

from collections_admin.errors import InvalidInput, QdrantRejected
from collections_admin.qdrant.calls import Answer, call
from collections_admin.qdrant.client import LaneName
from collections_admin.qdrant.errors import MessageTooLarge, UnreadableAnswer
from collections_admin.qdrant.filters import Filter, filter_message
from collections_admin.qdrant.reading import UnreadablePoint, payload_selector, retrieve
from collections_admin.qdrant.values import (
    Payload,
    PointId,
    Vector,
    dense_message,
    id_message,
    read_id,
    read_payload,
)

MAX_LIMIT = 1000
MAX_OFFSET = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """`unreadable` says why the payload is missing, where Qdrant holds one that no client can decode."""

    id: PointId
    score: float
    payload: Payload
    unreadable: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """`server_s` is what Qdrant spent; `total_s - server_s` is network, waiting and conversion."""

    hits: tuple[Hit, ...]
    server_s: float
    total_s: float


async def query(
    collection: str,
    *,
    vector: Vector | None = None,
    point_id: PointId | None = None,
    condition: Filter | None = None,
    limit: int = 10,
    offset: int = 0,
    score_threshold: float | None = None,
    hnsw_ef: int | None = None,
    exact: bool = False,
    fields: Sequence[str] | None = None,
    using: str | None = None,
    lane: LaneName = "interactive",
    deadline_s: float | None = None,
) -> SearchResult:
    """The points nearest to `vector`, or to the stored point `point_id` (itself left out), best first.

    `fields` limits the payload, () leaves it out; `using` names the vector where there are several. Raises
    InvalidInput, CollectionMissing, PointMissing, and what every call may raise.
    """
    request = pb.QueryPoints(
        collection_name=collection,
        query=pb.Query(nearest=_nearest(vector, point_id)),
        filter=None if condition is None else filter_message(condition),
        limit=_checked("limit", limit, 1, MAX_LIMIT),
        offset=_checked("offset", offset, 0, MAX_OFFSET) or None,
        score_threshold=score_threshold,
        params=_params(hnsw_ef, exact=exact),
        with_payload=payload_selector(fields),
        using=using,
    )
    try:
        answer = await _send(request, lane, deadline_s)
    except (UnreadableAnswer, MessageTooLarge):
        return await _query_apart(request, fields, lane, deadline_s)
    return _result(answer, tuple(map(_hit, answer.message.result)))


async def query_many(
    collections: Sequence[str], *, vector: Vector, return_exceptions: bool = False, **options: object
) -> list[SearchResult | BaseException]:
    """The same search in several collections at once, answers in their order; options as for `query`.

    With `return_exceptions` a collection that fails has its error in the place of its result.
    """
    searches = [query(name, vector=vector, **options) for name in collections]
    return await asyncio.gather(*searches, return_exceptions=return_exceptions)


def _nearest(vector: Vector | None, point_id: PointId | None) -> pb.VectorInput:
    if (vector is None) == (point_id is None):
        raise InvalidInput("vector", "Search needs either a vector or the id of a point.")
    if vector is not None:
        return pb.VectorInput(dense=dense_message(vector))
    return pb.VectorInput(id=id_message(point_id))


def _params(hnsw_ef: int | None, *, exact: bool) -> pb.SearchParams | None:
    if hnsw_ef is None and not exact:
        return None
    if hnsw_ef is not None:
        _checked("hnsw_ef", hnsw_ef, 1, 100_000)
    return pb.SearchParams(hnsw_ef=hnsw_ef, exact=exact or None)


def _checked(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(name, f"{name} must be a whole number between {low} and {high}.")
    return value


async def _send(request: pb.QueryPoints, lane: LaneName, deadline_s: float | None) -> Answer:
    return await call(
        "query",
        request.collection_name,
        lambda client, timeout: client.grpc_points.Query(request, timeout=timeout),
        lane=lane,
        deadline_s=deadline_s,
    )


async def _query_apart(
    request: pb.QueryPoints, fields: Sequence[str] | None, lane: LaneName, deadline_s: float | None
) -> SearchResult:
    """Hits first, payloads after them: a payload that cannot be read must not hide the other hits."""
    request.with_payload.CopyFrom(pb.WithPayloadSelector(enable=False))
    answer = await _send(request, lane, deadline_s)
    bare = [_hit(row) for row in answer.message.result]
    found = {
        point.id: point
        for point in await retrieve(request.collection_name, [hit.id for hit in bare], fields=fields, lane=lane)
    }
    return _result(answer, tuple(_with_payload(hit, found.get(hit.id)) for hit in bare))


def _with_payload(hit: Hit, point: object) -> Hit:
    if isinstance(point, UnreadablePoint):
        return Hit(id=hit.id, score=hit.score, payload={}, unreadable=point.reason)
    return Hit(id=hit.id, score=hit.score, payload=getattr(point, "payload", {}))


def _hit(row: pb.ScoredPoint) -> Hit:
    point_id = read_id(row.id)
    if point_id == "":
        raise QdrantRejected("Qdrant answered a hit without an id.")
    return Hit(id=point_id, score=row.score, payload=read_payload(row.payload))


def _result(answer: Answer, hits: tuple[Hit, ...]) -> SearchResult:
    return SearchResult(hits=hits, server_s=answer.server_s or 0.0, total_s=answer.total_s)
