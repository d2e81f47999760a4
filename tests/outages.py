"""Qdrant goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from collections_admin.edge_node.supervisor import EdgeNode
from collections_admin.qdrant.health import check_health


async def answers() -> None:
    """Wait for a node that was started again: gRPC tries up to a second later, in new channels too."""
    async with asyncio.timeout(20):
        while not (await check_health()).ok:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def outage(node: EdgeNode) -> AsyncIterator[None]:
    """The node is stopped inside the block, and answers again after it."""
    node.stop()
    try:
        yield
    finally:
        node.start()
        await answers()
