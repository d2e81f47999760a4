"""The gRPC server: every call passes through `guard`, and those the node lacks answer with a sentence."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from qdrant_client.grpc import (
    collections_service_pb2_grpc,
    points_service_pb2_grpc,
    qdrant_pb2_grpc,
    snapshots_service_pb2_grpc,
)

from collections_admin.edge_node.catalog import Catalog
from collections_admin.edge_node.coalescing import MAX_BATCH
from collections_admin.edge_node.errors import NodeError, from_engine, unavailable
from collections_admin.edge_node.services_collections import CollectionsService, HealthService
from collections_admin.edge_node.services_points import PointsService

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 64 * 2**20
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a port in use is to be noticed
    # Clients that ping more often than this are cut off; the console's do so every few minutes.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]
Handler = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]
SENTENCES = {
    "Search": "Legacy search calls are",
    "SearchBatch": "Legacy search calls are",
    "SearchGroups": "Legacy search calls are",
    "Recommend": "Legacy recommend calls are",
    "RecommendBatch": "Legacy recommend calls are",
    "RecommendGroups": "Legacy recommend calls are",
    "Discover": "Legacy discover calls are",
    "DiscoverBatch": "Legacy discover calls are",
    "SearchMatrixPairs": "Distance matrices are",
    "SearchMatrixOffsets": "Distance matrices are",
    "CreateVectorName": "Adding a vector to an existing collection is",
    "DeleteVectorName": "Removing a vector from an existing collection is",
    "CreateShardKey": "Shard keys are",
    "DeleteShardKey": "Shard keys are",
    "ListShardKeys": "Shard keys are",
    "CollectionClusterInfo": "Cluster calls are",
    "UpdateCollectionClusterSetup": "Cluster calls are",
}


def guard(call: Callable[[Any], Awaitable[Message]]) -> Handler:
    """Measure a call into the answer's `time` (seconds) and turn what it raises into a status."""

    async def handler(request: Any, context: grpc.aio.ServicerContext) -> Message:
        start = time.perf_counter()
        try:
            answer = await call(request)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - an engine panic is no Exception
            failure = _logged(from_engine(error), error)
        else:
            if hasattr(answer, "time"):
                answer.time = time.perf_counter() - start
            return answer
        return await context.abort(failure.code, failure.message)

    return handler


def _logged(failure: NodeError, error: BaseException) -> NodeError:
    if failure.code is grpc.StatusCode.INTERNAL:
        logger.error("call failed", exc_info=error)
    return failure


def _missing(name: str, fallback: str) -> Callable[[Any], Awaitable[Message]]:
    async def call(_: Any) -> Message:
        raise unavailable(SENTENCES.get(name, fallback))

    return call


class Guarded:
    """Stands for a service before gRPC: the calls that `service` defines itself, guarded, and refusals for the rest."""

    def __init__(self, service: object, base: type, fallback: str) -> None:
        for name in (n for n in vars(base) if not n.startswith("_")):
            own = name in vars(type(service))
            call = getattr(service, name) if own else _missing(name, fallback)
            setattr(self, name, guard(call))


def build_server(catalog: Catalog, *, max_batch: int = MAX_BATCH) -> grpc.aio.Server:
    """A server without a port. `max_batch` 1 turns the coalescing of searches off."""
    server = grpc.aio.server(options=OPTIONS)
    parts = (
        (collections_service_pb2_grpc, "Collections", CollectionsService(catalog), "This call is"),
        (points_service_pb2_grpc, "Points", PointsService(catalog, max_batch=max_batch), "This call is"),
        (qdrant_pb2_grpc, "Qdrant", HealthService(), "This call is"),
        (snapshots_service_pb2_grpc, "Snapshots", object(), "Snapshots are"),
    )
    for module, name, service, fallback in parts:
        guarded = Guarded(service, getattr(module, f"{name}Servicer"), fallback)
        getattr(module, f"add_{name}Servicer_to_server")(guarded, server)
    return server
