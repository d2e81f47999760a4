"""Writing points. Every write can be repeated: a timed-out or cancelled one may have been applied.

Qdrant answers a write that it has not finished in time with an ordinary `wait_timeout`, not with an error.
Anything but `completed` is therefore read back, and WriteUnknown is raised when the data is not there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from qdrant_client import grpc as pb

from collections_admin.errors import InvalidInput
from collections_admin.qdrant.calls import call
from collections_admin.qdrant.client import LaneName
from collections_admin.qdrant.errors import MessageTooLarge, WriteUnknown
from collections_admin.qdrant.filters import Filter, IsEmpty, Or, Range, filter_message
from collections_admin.qdrant.reading import Point, retrieve
from collections_admin.qdrant.values import (
    Payload,
    PointId,
    Vector,
    id_message,
    read_id,
    read_payload,
    vectors_message,
    write_payload,
)

BATCH_BYTES = 2 * 1024 * 1024
POINT_BYTES = 16 * 1024 * 1024
IDS_PER_REQUEST = 1000
BUILT_PER_TICK = 64  # points turned into messages before other tasks get their turn
READ_BACK_PAUSES_S = (0.1, 0.4, 1.5)

ReadBack = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PointToWrite:
    """`vector` is a list or ndarray, a mapping for named vectors, or None for payload alone.

    `common` is payload too: what points of one document have in common. It is turned into a message once for
    neighbours that are given the very same mapping.
    """

    id: PointId | UUID
    vector: Vector | Mapping[str, Vector] | None
    payload: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteResult:
    """`read_back` counts requests that Qdrant left open and that were found applied."""

    points: int = 0
    requests: int = 0
    read_back: int = 0
    server_s: float = 0.0
    total_s: float = 0.0

    def __add__(self, other: "WriteResult") -> "WriteResult":
        return WriteResult(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


async def upsert_points(
    collection: str,
    points: Sequence[PointToWrite],
    *,
    wait: bool = True,
    only_newer_rev: bool = False,
    same_rev_too: bool = False,
    lane: LaneName = "bulk",
) -> WriteResult:
    """Insert or replace points, in requests of at most BATCH_BYTES. Nothing to write: an empty result.

    `only_newer_rev` leaves a stored point alone unless its payload's `rev` is missing or lower than the new one; with
    `same_rev_too` also when it is equal (a repair of one revision). Raises InvalidInput with the path of a value that
    cannot be stored (before anything is sent), MessageTooLarge, WriteUnknown, and what every call may raise.
    """
    messages = await _point_messages(points)
    result = WriteResult()
    for rev, group in _by_rev(messages, points, only_newer_rev=only_newer_rev).items():
        below = None if rev is None else rev + same_rev_too
        for batch in _batches(group):
            result += await _upsert(collection, batch, wait=wait, below=below, lane=lane)
    return result


async def _point_messages(points: Sequence[PointToWrite]) -> list[pb.PointStruct]:
    messages: list[pb.PointStruct] = []
    common: Mapping[str, Any] = {}
    template = pb.PointStruct()
    for number, point in enumerate(points, start=1):
        if point.common is not common:
            common, template = point.common, _common_message(point.common)
        messages.append(_point_message(point, template))
        if number % BUILT_PER_TICK == 0:
            await asyncio.sleep(0)
    return messages


def _common_message(common: Mapping[str, Any]) -> pb.PointStruct:
    message = pb.PointStruct()
    write_payload(message.payload, common)
    return message


def _point_message(point: PointToWrite, template: pb.PointStruct) -> pb.PointStruct:
    message = pb.PointStruct()
    message.CopyFrom(template)
    message.id.CopyFrom(id_message(point.id))
    if point.vector is not None:
        message.vectors.CopyFrom(vectors_message(point.vector))
    write_payload(message.payload, point.payload)
    if (size := message.ByteSize()) > POINT_BYTES:
        raise MessageTooLarge("payload", f"Point {point.id} has {size:,} bytes, more than {POINT_BYTES:,}.")
    return message


def _by_rev(
    messages: list[pb.PointStruct], points: Sequence[PointToWrite], *, only_newer_rev: bool
) -> dict[int | None, list[pb.PointStruct]]:
    """One request carries one condition, so conditional writes are grouped by the revision they bring."""
    if not only_newer_rev:
        return {None: messages}
    groups: dict[int | None, list[pb.PointStruct]] = defaultdict(list)
    for message, point in zip(messages, points, strict=True):
        rev = point.payload.get("rev", point.common.get("rev"))
        if isinstance(rev, bool) or not isinstance(rev, int):
            raise InvalidInput("payload.rev", f"Point {point.id} needs a whole number as rev.")
        groups[rev].append(message)
    return groups


def _batches(messages: list[pb.PointStruct]) -> Iterator[list[pb.PointStruct]]:
    batch: list[pb.PointStruct] = []
    size = 0
    for message in messages:
        length = message.ByteSize()
        if batch and size + length > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch


async def _upsert(
    collection: str, batch: list[pb.PointStruct], *, wait: bool, below: int | None, lane: LaneName
) -> WriteResult:
    """With `below`, stored points of that rev or a higher one are left alone."""
    guard = None if below is None else filter_message(Or(Range("rev", lt=below), IsEmpty("rev")))
    request = pb.UpsertPoints(collection_name=collection, wait=wait, points=batch, update_filter=guard)

    async def applied() -> bool:
        stored = await _stored(collection, [read_id(point.id) for point in batch], lane)
        return all(_is_stored(point, stored, below) for point in batch)

    try:
        return await _write("upsert", "Upsert", request, points=len(batch), applied=applied, lane=lane)
    except MessageTooLarge:
        if len(batch) == 1:
            raise
    half = len(batch) // 2
    first = await _upsert(collection, batch[:half], wait=wait, below=below, lane=lane)
    return first + await _upsert(collection, batch[half:], wait=wait, below=below, lane=lane)


async def _stored(collection: str, ids: Sequence[PointId], lane: LaneName) -> dict[PointId, Payload]:
    found = await retrieve(collection, ids, lane=lane)
    return {point.id: point.payload for point in found if isinstance(point, Point)}


def _is_stored(point: pb.PointStruct, stored: Mapping[PointId, Payload], below: int | None) -> bool:
    payload = stored.get(read_id(point.id))
    wanted = read_payload(point.payload)
    if payload is None:
        return False
    rev = payload.get("rev")
    return payload == wanted or (below is not None and isinstance(rev, int) and rev >= below)


async def delete_points(collection: str, ids: Sequence[PointId], *, lane: LaneName = "interactive") -> WriteResult:
    """Delete by ids; those that are not there are no error."""
    result = WriteResult()
    for start in range(0, len(ids), IDS_PER_REQUEST):
        part = ids[start : start + IDS_PER_REQUEST]
        request = pb.DeletePoints(collection_name=collection, wait=True, points=_selector(part))

        async def applied(part: Sequence[PointId] = part) -> bool:
            return not await retrieve(collection, part, fields=(), lane=lane)

        result += await _write("delete", "Delete", request, points=len(part), applied=applied, lane=lane)
    return result


async def delete_by_filter(collection: str, condition: Filter, *, lane: LaneName = "interactive") -> WriteResult:
    """Delete what matches. For a correct result under concurrent writes delete by ids: Qdrant may also take
    points that were written meanwhile. `points` of the answer is 0: Qdrant does not say how many."""
    request = pb.DeletePoints(collection_name=collection, wait=True, points=_selector(condition))
    return await _write("delete", "Delete", request, points=0, applied=None, lane=lane)


async def set_payload(
    collection: str,
    payload: Mapping[str, Any],
    selected: Sequence[PointId] | Filter,
    *,
    lane: LaneName = "interactive",
) -> WriteResult:
    """Merge `payload` into the points with these ids or matching this filter; other keys stay."""
    request = pb.SetPayloadPoints(collection_name=collection, wait=True, points_selector=_selector(selected))
    write_payload(request.payload, payload)
    if _is_empty(selected):
        return WriteResult()
    if not isinstance(selected, Sequence):
        return await _write("set_payload", "SetPayload", request, points=0, applied=None, lane=lane)
    wanted = read_payload(request.payload)

    async def applied() -> bool:
        stored = await _stored(collection, selected, lane)
        return all(stored_payload.items() >= wanted.items() for stored_payload in stored.values())

    return await _write("set_payload", "SetPayload", request, points=len(selected), applied=applied, lane=lane)


async def delete_payload(
    collection: str,
    keys: Sequence[str],
    selected: Sequence[PointId] | Filter,
    *,
    lane: LaneName = "interactive",
) -> WriteResult:
    """Remove payload keys (an archived document comes back by losing `archived_at`)."""
    request = pb.DeletePayloadPoints(
        collection_name=collection, wait=True, keys=keys, points_selector=_selector(selected)
    )
    if _is_empty(selected):
        return WriteResult()
    if not isinstance(selected, Sequence):
        return await _write("delete_payload", "DeletePayload", request, points=0, applied=None, lane=lane)

    async def applied() -> bool:
        stored = await _stored(collection, selected, lane)
        return not any(key in payload for payload in stored.values() for key in keys)

    return await _write("delete_payload", "DeletePayload", request, points=len(selected), applied=applied, lane=lane)


def _is_empty(selected: Sequence[PointId] | Filter) -> bool:
    return isinstance(selected, Sequence) and not selected


def _selector(selected: Sequence[PointId] | Filter) -> pb.PointsSelector:
    if isinstance(selected, str):
        raise InvalidInput("ids", "Give a list of point ids.")
    if isinstance(selected, Sequence):
        return pb.PointsSelector(points=pb.PointsIdsList(ids=[id_message(point_id) for point_id in selected]))
    return pb.PointsSelector(filter=filter_message(selected))


async def _write(
    operation: str, method: str, request: Any, *, points: int, applied: ReadBack | None, lane: LaneName
) -> WriteResult:
    """Send one write. `applied()` reads back whether it took effect; None where that cannot be told."""
    collection = request.collection_name
    answer = await call(
        operation,
        collection,
        lambda client, timeout: getattr(client.grpc_points, method)(request, timeout=timeout),
        lane=lane,
        is_write=True,
    )
    status = answer.message.result.status
    expected = (
        {pb.UpdateStatus.Completed} if request.wait else {pb.UpdateStatus.Completed, pb.UpdateStatus.Acknowledged}
    )
    done = WriteResult(points=points, requests=1, server_s=answer.server_s or 0.0, total_s=answer.total_s)
    if status in expected:
        return done
    if applied is not None and await _found_applied(applied):
        return done + WriteResult(read_back=1)
    raise WriteUnknown(
        f"Qdrant did not finish the {operation} on {collection} in time (status {_status_name(status)}); "
        "it may still be applied and can be repeated."
    )


async def _found_applied(applied: ReadBack) -> bool:
    for pause in READ_BACK_PAUSES_S:
        if await applied():
            return True
        await asyncio.sleep(pause)
    return await applied()


def _status_name(status: int) -> str:
    return pb.UpdateStatus.Name(status) if status in pb.UpdateStatus.values() else str(status)
