"""Write requests, protobuf to engine operations."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.collection import Collection
from collections_admin.edge_node.errors import invalid
from collections_admin.edge_node.filters import optional, optional_filter, select
from collections_admin.edge_node.values import (
    payload_key,
    payload_to_python,
    point_id,
    stored_vectors,
)

Operation = edge.UpdateOperation
MODES = {
    pb.UpdateMode.InsertOnly: edge.UpdateMode.InsertOnly,
    pb.UpdateMode.UpdateOnly: edge.UpdateMode.UpdateOnly,
}
POINTS_PER_ROUND = 256  # converted before the loop gets its turn: about 15 ms


def _fitted(vectors: Any, collection: Collection) -> Any:
    if isinstance(vectors, dict):
        return {name: collection.shape(name).fitted(vector) for name, vector in vectors.items()}
    return collection.shape("").fitted(vectors)


def _point(message: pb.PointStruct, collection: Collection) -> edge.Point:
    vectors = _fitted(stored_vectors(message.vectors), collection)
    return edge.Point(point_id(message.id), vectors, payload_to_python(message.payload))


def _point_vectors(message: pb.PointVectors, collection: Collection) -> edge.PointVectors:
    vectors = stored_vectors(message.vectors)
    if not vectors:
        raise invalid(f"no vectors are given for point {point_id(message.id)}")
    return edge.PointVectors(point_id(message.id), _fitted(vectors, collection))


async def _converted(messages: Any, convert: Callable[..., Any], collection: Collection) -> list[Any]:
    result = []
    for start in range(0, len(messages), POINTS_PER_ROUND):
        if start:
            await asyncio.sleep(0)
        part = messages[start : start + POINTS_PER_ROUND]
        result.extend([convert(message, collection) for message in part])
    return result


async def upsert(message: Any, collection: Collection) -> Operation:
    points = await _converted(message.points, _point, collection)
    mode = MODES.get(message.update_mode)
    return Operation.upsert_points(points, optional_filter(message, "update_filter"), mode)


async def update_vectors(message: Any, collection: Collection) -> Operation:
    points = await _converted(message.points, _point_vectors, collection)
    return Operation.update_vectors(points, optional_filter(message, "update_filter"))


async def delete_vectors(message: Any, collection: Collection) -> Operation:
    names = message.vectors.names[:]
    for name in names:
        collection.shape(name)
    by_ids, by_filter = Operation.delete_vectors, Operation.delete_vectors_by_filter
    return select(message.points_selector, by_ids, by_filter, names)


def _payload_parts(message: Any) -> tuple[dict[str, Any], str | None]:
    key = optional(message, "key")
    return payload_to_python(message.payload), payload_key(key) if key is not None else None


async def set_payload(message: Any, _: Collection) -> Operation:
    parts = _payload_parts(message)
    return select(message.points_selector, Operation.set_payload, Operation.set_payload_by_filter, *parts)


async def overwrite_payload(message: Any, _: Collection) -> Operation:
    by_ids, by_filter = Operation.overwrite_payload, Operation.overwrite_payload_by_filter
    return select(message.points_selector, by_ids, by_filter, *_payload_parts(message))


async def delete_payload(message: Any, _: Collection) -> Operation:
    by_ids, by_filter = Operation.delete_payload, Operation.delete_payload_by_filter
    return select(message.points_selector, by_ids, by_filter, message.keys[:])


async def clear_payload(message: Any, _: Collection) -> Operation:
    return select(message.points, Operation.clear_payload, Operation.clear_payload_by_filter)


async def delete_points(message: Any, _: Collection) -> Operation:
    return select(message.points, Operation.delete_points, Operation.delete_points_by_filter)


# The operations of an UpdateBatch by field name. Each function takes the single call's message as well.
BATCHED: dict[str, Callable[[Any, Collection], Awaitable[Operation]]] = {
    "upsert": upsert,
    "set_payload": set_payload,
    "overwrite_payload": overwrite_payload,
    "delete_payload": delete_payload,
    "update_vectors": update_vectors,
    "delete_vectors": delete_vectors,
    "delete_points": delete_points,
    "clear_payload": clear_payload,
}


async def batched(message: pb.PointsUpdateOperation, collection: Collection) -> Operation:
    kind = message.WhichOneof("operation")
    if kind not in BATCHED:
        raise invalid(f"operation {kind or 'without content'} of a batch is not supported")
    return await BATCHED[kind](getattr(message, kind), collection)
