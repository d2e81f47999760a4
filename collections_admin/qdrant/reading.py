"""Reading points: by id, page by page, counted, and which values a field has.

A payload nested deeper than 32 levels makes the whole answer unreadable for a client. The page is then halved
until the one point is found, and shown as UnreadablePoint among the others.
"""

import base64
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qdrant_client import grpc as pb

from collections_admin.errors import InvalidInput, QdrantRejected
from collections_admin.qdrant.calls import Answer, call
from collections_admin.qdrant.client import LaneName
from collections_admin.qdrant.errors import MessageTooLarge, UnreadableAnswer
from collections_admin.qdrant.filters import And, Filter, HasId, Not, filter_message
from collections_admin.qdrant.values import (
    Payload,
    PointId,
    id_message,
    read_id,
    read_payload,
    read_vectors,
)

PAGE_BYTES = 2 * 1024 * 1024
MAX_PAGE = 1000
MAX_FACETS = 1000
MAX_TIES = 100  # their ids travel in the cursor, so in a URL
DAMAGED_CURSOR = "This link to the next page is damaged; start from the first page."
REASON = "The payload is nested too deeply to be read."


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """`id` is a UUID as text or an int; `vector` only where asked for (a dict for named vectors)."""

    id: PointId
    payload: Payload
    vector: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadablePoint:
    id: PointId
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """`next_cursor` is opaque text for the next call, None at the end. A page may be shorter than asked."""

    points: tuple[Point | UnreadablePoint, ...]
    next_cursor: str | None
    server_s: float
    total_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FacetValue:
    value: str | int | bool
    count: int


@dataclass(frozen=True, slots=True)
class OrderBy:
    """Needs a payload index on `key` (integer, float or datetime); points without the field are left out."""

    key: str
    direction: Literal["asc", "desc"] = "asc"


async def retrieve(
    collection: str,
    ids: Sequence[PointId],
    *,
    with_vectors: bool = False,
    fields: Sequence[str] | None = None,
    lane: LaneName = "interactive",
) -> list[Point | UnreadablePoint]:
    """Those of the ids that exist, in the order asked. `fields` limits the payload, () leaves it out."""
    if not ids:
        return []
    request = pb.GetPoints(
        collection_name=collection,
        ids=[id_message(point_id) for point_id in ids],
        with_payload=payload_selector(fields),
        with_vectors=pb.WithVectorsSelector(enable=with_vectors),
    )
    try:
        return await _get(request, lane)
    except (UnreadableAnswer, MessageTooLarge):
        present = await _get(_without_data(request), lane)
    return await _get_bisected(request, [point.id for point in present], lane)


async def _get(request: pb.GetPoints, lane: LaneName) -> list[Point]:
    answer = await _read("retrieve", request.collection_name, "Get", request, lane)
    found = {point.id: point for point in map(_point, answer.message.result)}
    return [found[point_id] for message in request.ids if (point_id := read_id(message)) in found]


async def _get_bisected(
    request: pb.GetPoints | pb.ScrollPoints, ids: Sequence[PointId], lane: LaneName
) -> list[Point | UnreadablePoint]:
    """Get these ids with the selectors of `request`, in halves down to the points that cannot be read."""
    part = pb.GetPoints(
        collection_name=request.collection_name,
        ids=[id_message(point_id) for point_id in ids],
        with_payload=request.with_payload,
        with_vectors=request.with_vectors,
    )
    try:
        return await _get(part, lane)
    except (UnreadableAnswer, MessageTooLarge) as error:
        if len(ids) == 1:
            reason = REASON if isinstance(error, UnreadableAnswer) else error.message
            return [UnreadablePoint(id=ids[0], reason=reason)]
    half = len(ids) // 2
    first = await _get_bisected(request, ids[:half], lane)
    return first + await _get_bisected(request, ids[half:], lane)


def _without_data(request: Any) -> Any:
    """The same request for ids alone: that answer can always be decoded."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.with_payload.CopyFrom(pb.WithPayloadSelector(enable=False))
    bare.with_vectors.CopyFrom(pb.WithVectorsSelector(enable=False))
    return bare


async def count(
    collection: str, condition: Filter | None = None, *, exact: bool = True, lane: LaneName = "interactive"
) -> int:
    request = pb.CountPoints(collection_name=collection, filter=_filter(condition), exact=exact)
    answer = await _read("count", collection, "Count", request, lane)
    return answer.message.result.count


async def facet(
    collection: str,
    key: str,
    condition: Filter | None = None,
    *,
    limit: int = 20,
    exact: bool = False,
    lane: LaneName = "interactive",
) -> list[FacetValue]:
    """The most frequent values of a keyword, integer or bool field; QdrantRejected where it has no index."""
    request = pb.FacetCounts(
        collection_name=collection,
        key=key,
        filter=_filter(condition),
        limit=_checked("limit", limit, 1, MAX_FACETS),
        exact=exact,
    )
    answer = await _read("facet", collection, "Facet", request, lane)
    return [
        FacetValue(value=getattr(hit.value, hit.value.WhichOneof("variant")), count=hit.count)
        for hit in answer.message.hits
        if hit.value.WhichOneof("variant")
    ]


# ---- pages


async def scroll(
    collection: str,
    condition: Filter | None = None,
    *,
    limit: int = 50,
    cursor: str | None = None,
    order_by: OrderBy | None = None,
    fields: Sequence[str] | None = None,
    with_vectors: bool = False,
    lane: LaneName = "interactive",
) -> Page:
    """One page, by id or in the order of a field, starting at the cursor of the page before.

    The page is cut to about PAGE_BYTES, judged by what points of this collection weighed so far. Raises
    InvalidInput for a limit or a cursor that is none.
    """
    size = _checked("limit", limit, 1, MAX_PAGE)
    request = pb.ScrollPoints(
        collection_name=collection,
        with_payload=payload_selector(fields),
        with_vectors=pb.WithVectorsSelector(enable=with_vectors),
    )
    start = _start(request, condition, cursor, order_by)
    weight = _weights.setdefault(_Weights.key(collection, fields, with_vectors=with_vectors))
    request.limit = max(1, min(size, weight.rows_per_page()))
    answer, points = await _scroll_page(request, lane)
    weight.saw(answer.message, len(points))
    return Page(
        points=tuple(points),
        next_cursor=_next_cursor(answer.message, request.limit, order_by, start),
        server_s=answer.server_s or 0.0,
        total_s=answer.total_s,
    )


async def _scroll_page(request: pb.ScrollPoints, lane: LaneName) -> tuple[Answer, list[Point | UnreadablePoint]]:
    """The answer and its points; halved while larger than a message may be, bisected when unreadable."""
    while True:
        try:
            answer = await _read("scroll", request.collection_name, "Scroll", request, lane)
            return answer, [_point(row) for row in answer.message.result]
        except MessageTooLarge:
            if request.limit == 1:
                break
            request.limit //= 2
        except UnreadableAnswer:
            break
    answer = await _read("scroll", request.collection_name, "Scroll", _without_data(request), lane)
    return answer, await _get_bisected(request, [read_id(row.id) for row in answer.message.result], lane)


@dataclass(frozen=True, slots=True)
class _OrderedStart:
    """Where an ordered page goes on: at this value, without the points that had it and were shown."""

    value: int | float | None = None
    shown: tuple[PointId, ...] = ()


def _start(
    request: pb.ScrollPoints, condition: Filter | None, cursor: str | None, order_by: OrderBy | None
) -> _OrderedStart:
    if order_by is None:
        if cursor:
            request.offset.CopyFrom(_cursor_id(cursor))
        if condition is not None:
            request.filter.CopyFrom(filter_message(condition))
        return _OrderedStart()
    start = _ordered_cursor(cursor) if cursor else _OrderedStart()
    request.order_by.key = order_by.key
    request.order_by.direction = pb.Direction.Desc if order_by.direction == "desc" else pb.Direction.Asc
    if start.value is not None:
        request.order_by.start_from.CopyFrom(_start_from(start.value))
    rest = And(condition, Not(HasId(start.shown)) if start.shown else None)
    if rest.conditions:
        request.filter.CopyFrom(filter_message(rest))
    return start


def _next_cursor(answer: pb.ScrollResponse, limit: int, order_by: OrderBy | None, start: _OrderedStart) -> str | None:
    if order_by is None:
        return str(read_id(answer.next_page_offset)) if answer.HasField("next_page_offset") else None
    rows = answer.result
    if len(rows) < limit:
        return None
    last = _order_value(rows[-1])
    shown = tuple(read_id(row.id) for row in rows if _order_value(row) == last)
    if last == start.value:
        shown = start.shown + shown
    if len(shown) > MAX_TIES:
        raise InvalidInput("order_by", f"More than {MAX_TIES} points share one value of {order_by.key!r}.")
    return base64.urlsafe_b64encode(json.dumps([last, shown]).encode()).decode()


def _order_value(row: pb.RetrievedPoint) -> int | float:
    kind = row.order_value.WhichOneof("variant")
    if kind is None:
        raise QdrantRejected("Qdrant answered an ordered page without order values.")
    return getattr(row.order_value, kind)


def _cursor_id(cursor: str) -> pb.PointId:
    try:
        return id_message(cursor)
    except InvalidInput as error:
        raise InvalidInput("cursor", "This link to the next page is damaged; start from the first page.") from error


def _start_from(value: object) -> pb.StartFrom:
    """Raises ValueError or TypeError for what is no 64-bit integer and no float."""
    return pb.StartFrom(integer=value) if isinstance(value, int) else pb.StartFrom(float=float(value))


def _ordered_cursor(cursor: str) -> _OrderedStart:
    try:
        value, shown = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        _start_from(value)
        return _OrderedStart(value, tuple(read_id(id_message(point_id)) for point_id in shown))
    except (ValueError, TypeError, RecursionError, InvalidInput) as error:
        raise InvalidInput("cursor", DAMAGED_CURSOR) from error


@dataclass(slots=True)
class _Weight:
    """A moving mean of the bytes per row, so that a page of heavy points stays near PAGE_BYTES."""

    row_bytes: float = 0.0

    def rows_per_page(self) -> int:
        return int(PAGE_BYTES / self.row_bytes) if self.row_bytes else MAX_PAGE

    def saw(self, answer: pb.ScrollResponse, rows: int) -> None:
        if rows:
            seen = answer.ByteSize() / rows
            self.row_bytes = seen if seen > self.row_bytes else 0.7 * self.row_bytes + 0.3 * seen


@dataclass(slots=True)
class _Weights:
    """The weights of the shapes of page asked last."""

    known: OrderedDict[tuple[object, ...], _Weight] = field(default_factory=OrderedDict)

    @staticmethod
    def key(collection: str, fields: Sequence[str] | None, *, with_vectors: bool) -> tuple[object, ...]:
        return collection, None if fields is None else tuple(fields), with_vectors

    def setdefault(self, key: tuple[object, ...]) -> _Weight:
        weight = self.known.setdefault(key, _Weight())
        self.known.move_to_end(key)
        if len(self.known) > 256:
            self.known.popitem(last=False)
        return weight


_weights = _Weights()


# ---- shared with search.py


def payload_selector(fields: Sequence[str] | None) -> pb.WithPayloadSelector:
    """None: the whole payload; () none of it; else these fields."""
    if fields is None:
        return pb.WithPayloadSelector(enable=True)
    if not fields:
        return pb.WithPayloadSelector(enable=False)
    return pb.WithPayloadSelector(include=pb.PayloadIncludeSelector(fields=list(fields)))


def _filter(condition: Filter | None) -> pb.Filter | None:
    return None if condition is None else filter_message(condition)


def _checked(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(name, f"{name} must be a whole number between {low} and {high}.")
    return value


def _point(row: pb.RetrievedPoint) -> Point:
    point_id = read_id(row.id)
    if point_id == "":
        raise QdrantRejected("Qdrant answered a point without an id.")
    vector = read_vectors(row.vectors) if row.HasField("vectors") else None
    return Point(id=point_id, payload=read_payload(row.payload), vector=vector)


async def _read(operation: str, collection: str, method: str, request: Any, lane: LaneName) -> Answer:
    return await call(
        operation,
        collection,
        lambda client, timeout: getattr(client.grpc_points, method)(request, timeout=timeout),
        lane=lane,
    )
