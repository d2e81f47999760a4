"""Fixtures of all tests: a real node behind a real port, people in each role, and clean databases on both sides."""

import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Before the settings are read: tests must not touch the data folder or the configuration of this checkout.
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="console-tests-")
os.environ["EMBEDDED_NODE_PORT"] = str(_free_port())
for _name in ("QDRANT_URL", "QDRANT_HOST", "QDRANT_API_KEY", "DEBUG", "HTTPS", "TRUSTED_ORIGINS", "ALLOWED_HOSTS"):
    os.environ[_name] = ""

import pytest
import pytest_asyncio
from django.conf import settings as django_settings

from collections_admin.edge_node.supervisor import EdgeNode


@pytest.fixture(scope="session")
def qdrant_node() -> Iterator[EdgeNode]:
    """The embedded node that the settings point at."""
    node = EdgeNode(Path(django_settings.DATA_DIR) / "node", port=django_settings.EMBEDDED_NODE_PORT)
    node.start()
    yield node
    node.stop()


@pytest_asyncio.fixture
async def qdrant(qdrant_node: EdgeNode) -> AsyncIterator[EdgeNode]:
    """The running node, without any collection before and after the test."""
    from collections_admin.qdrant.client import close_connections
    from collections_admin.qdrant.collections import delete_all_for_tests

    if not qdrant_node.is_alive:
        qdrant_node.start()
    yield qdrant_node
    await delete_all_for_tests()
    await close_connections()
