"""Servers of these tests: the real node, a faulty one, and a faulty one in front of the node."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

from collections_admin import qdrant as access
from collections_admin.qdrant import health, outage
from tests.qdrant.faulty_server import FaultyServer

if TYPE_CHECKING:
    from collections_admin.edge_node.supervisor import EdgeNode


@pytest_asyncio.fixture
async def faulty() -> AsyncIterator[FaultyServer]:
    """A server with nothing behind it; pages wait 1 s for it, jobs 2 s."""
    server = FaultyServer()
    await _serve(server, deadline_s=1.0, bulk_deadline_s=2.0)
    yield server
    await _leave(server)


@pytest_asyncio.fixture
async def proxied(qdrant: "EdgeNode") -> AsyncIterator[FaultyServer]:
    """The real node behind a server that counts, and fails where it is told to."""
    server = FaultyServer(upstream=f"127.0.0.1:{qdrant.port}")
    await _serve(server, deadline_s=30.0, bulk_deadline_s=60.0)
    yield server
    await _leave(server)


async def _serve(server: FaultyServer, **deadlines: float) -> None:
    await server.start()
    outage._outages.clear()
    health.forget_health()
    access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=server.port, deadline_s=1.0, bulk_deadline_s=2.0))


async def _leave(server: FaultyServer) -> None:
    await access.close_connections()
    await server.close()
    access.configure(None)
