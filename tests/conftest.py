"""Fixtures of all tests: a real node behind a real port, people in each role, and clean databases on both sides."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from django.conf import settings as django_settings
from django.test import AsyncClient

if TYPE_CHECKING:  # the tests that need no node must not wait for its engine to be imported
    from collections_admin.edge_node.supervisor import EdgeNode


@pytest.fixture(scope="session")
def qdrant_node() -> "Iterator[EdgeNode]":
    """The embedded node that the settings point at."""
    from collections_admin.edge_node.supervisor import EdgeNode

    node = EdgeNode(Path(django_settings.DATA_DIR) / "node", port=django_settings.EMBEDDED_NODE_PORT)
    node.start()
    yield node
    node.stop()


@pytest_asyncio.fixture
async def qdrant(qdrant_node: "EdgeNode") -> "AsyncIterator[EdgeNode]":
    """The running node, without any collection before and after the test."""
    from collections_admin.qdrant.client import close_connections
    from collections_admin.qdrant.collections import delete_collection, list_aliases, list_collections
    from tests.outages import answers

    if not qdrant_node.is_alive:
        qdrant_node.start()
    yield qdrant_node
    await answers()
    aliases = await list_aliases()
    for name in await list_collections():
        await delete_collection(name, aliases=aliases)
    await close_connections()


@pytest.fixture(scope="session", autouse=True)
def _fast_passwords() -> None:
    """The real hasher takes 0.3 s per account."""
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def _closed_at_the_end(django_db_setup: None) -> Iterator[None]:
    """Async tests reach the database from asgiref's own thread; its connection would keep the test database open."""
    yield
    from asgiref.sync import SyncToAsync
    from django.db import connections

    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def client_for(transactional_db: None, _closed_at_the_end: None) -> Callable[..., Awaitable[AsyncClient]]:
    """`await client_for(user)` is a browser signed in as that account; `await client_for()` is nobody's."""

    async def open_browser(user: Any = None, **headers: str) -> AsyncClient:
        client = AsyncClient(headers=headers)
        if user is not None:
            await client.aforce_login(user, "django.contrib.auth.backends.ModelBackend")
        return client

    return open_browser
