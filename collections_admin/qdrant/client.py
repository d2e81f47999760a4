"""The connection to Qdrant: one per process and running event loop, made in that loop when first used.

A connection has two lanes, each an `AsyncQdrantClient` with its own bound on calls in flight: *interactive*
for pages (short deadline) and *bulk* for jobs (`QDRANT_TIMEOUT`). The client takes the deadline of writes
from its constructor, and an ingest must not take the slots of a page.
"""

import asyncio
import logging
import os
import warnings
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient

from collections_admin.errors import InvalidInput
from collections_admin.qdrant.outage import Outage, outage_of

logger = logging.getLogger(__name__)

LaneName = Literal["interactive", "bulk"]
MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_REQUEST_BYTES = 32 * 1024 * 1024  # Qdrant's own limit for a REST body; proxies often allow less
# The embedded node answers searches that arrive together in one pass: with 48 slots 100 people got 0.90 of the bare
# client's throughput, with 128 0.97, at the same CPU time. Beyond that a storm of pages waits here, not in Qdrant.
INTERACTIVE_SLOTS = 128
BULK_SLOTS = 8
CLOSE_GRACE_S = 2.0
GRPC_OPTIONS = {
    "grpc.max_send_message_length": MAX_REQUEST_BYTES,
    "grpc.max_receive_message_length": MAX_ANSWER_BYTES,
    # Without these two a client comes back 8 s after an outage, with them within 2 s.
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 1000,
    # More often than every 300 s, servers and proxies answer GOAWAY too_many_pings.
    "grpc.keepalive_time_ms": 300_000,
    "grpc.keepalive_timeout_ms": 20_000,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class QdrantConfig:
    """`deadline_s` bounds calls of pages, `bulk_deadline_s` calls of jobs."""

    host: str
    port: int = 6333
    grpc_port: int = 6334
    api_key: str = field(default="", repr=False)
    tls: bool = False
    deadline_s: float = 5.0
    bulk_deadline_s: float = 120.0

    @property
    def address(self) -> str:
        return f"{self.host}:{self.grpc_port}"

    @classmethod
    def from_settings(cls) -> Self:
        """From Django's settings: QDRANT_URL or QDRANT_HOST, then ports, key and time-out.

        Raises InvalidInput naming the setting.
        """
        from django.conf import settings  # the only place of this package that knows Django

        host, port, tls = _address_of(
            getattr(settings, "QDRANT_URL", "") or "", getattr(settings, "QDRANT_HOST", "") or "127.0.0.1"
        )
        return cls(
            host=host,
            port=port or int(getattr(settings, "QDRANT_PORT", 6333)),
            grpc_port=int(getattr(settings, "QDRANT_GRPC_PORT", 6334)),
            api_key=getattr(settings, "QDRANT_API_KEY", "") or "",
            tls=bool(getattr(settings, "QDRANT_TLS", False)) or tls,
            bulk_deadline_s=float(getattr(settings, "QDRANT_TIMEOUT", 120)),
        )


def _address_of(url: str, host: str) -> tuple[str, int | None, bool]:
    if not url:
        return host, None, False
    try:
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        port = parts.port
    except ValueError as error:
        raise InvalidInput("QDRANT_URL", f"is not an address: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput("QDRANT_URL", "must look like http://host:6333 or https://host:6333")
    return parts.hostname, port, parts.scheme == "https"


@dataclass(slots=True)
class Lane:
    client: AsyncQdrantClient
    slots: asyncio.Semaphore
    deadline_s: float


@dataclass(slots=True, weakref_slot=True)
class Connection:
    """Belongs to one loop of one process. `locks` serialises what must not run twice at once, by name."""

    config: QdrantConfig
    loop: asyncio.AbstractEventLoop
    lanes: dict[LaneName, Lane]
    outage: Outage
    locks: weakref.WeakValueDictionary[str, asyncio.Lock] = field(default_factory=weakref.WeakValueDictionary)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def lock(self, name: str) -> asyncio.Lock:
        return self.locks.setdefault(name, asyncio.Lock())

    def background(self, name: str, start: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """The running task of that name, started if there is none; cancelled when the connection closes."""
        if name not in self.tasks:
            self.tasks[name] = self.loop.create_task(start(), name=f"qdrant {name}")
            self.tasks[name].add_done_callback(lambda _: self.tasks.pop(name, None))
        return self.tasks[name]

    async def close(self) -> None:
        """Never raises and never warns, also when the server went first or the loop is gone."""
        running = list(self.tasks.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for lane in self.lanes.values():
            await _close_quietly(lane.client)


_config: QdrantConfig | None = None
_connections: dict[asyncio.AbstractEventLoop, Connection] = {}
_pid: int | None = None


def configure(config: QdrantConfig | None) -> None:
    """Use `config` from now on; None reads Django's settings again at the next call."""
    global _config  # noqa: PLW0603 - one configuration per process, like the settings it comes from
    _config = config


def current_config() -> QdrantConfig:
    if _config is None:
        configure(QdrantConfig.from_settings())
    return _config


def current_connection() -> Connection:
    """The connection of the running loop; made now if there is none.

    Raises RuntimeError outside a loop, and in a process forked after its parent used Qdrant: grpc does not
    survive a fork, so such a child must be spawned instead.
    """
    loop = asyncio.get_running_loop()
    connection = _connections.get(loop)
    if connection is not None and connection.config is _config and _pid == os.getpid():
        return connection
    return _connect(loop)


def _connect(loop: asyncio.AbstractEventLoop) -> Connection:
    global _pid  # noqa: PLW0603 - the process that owns grpc's threads
    if _pid not in {None, os.getpid()}:
        raise RuntimeError("Qdrant was used before this process was forked; start processes by spawn instead.")
    _pid = os.getpid()
    _forget_dead_loops()
    previous = _connections.pop(loop, None)
    config = current_config()
    connection = _connections[loop] = _new_connection(config, loop)
    if previous is not None:
        connection.background("close the connection before", previous.close)
    return connection


def _new_connection(config: QdrantConfig, loop: asyncio.AbstractEventLoop) -> Connection:
    lanes: dict[LaneName, Lane] = {
        "interactive": Lane(
            _new_client(config, config.deadline_s), asyncio.Semaphore(INTERACTIVE_SLOTS), config.deadline_s
        ),
        "bulk": Lane(
            _new_client(config, config.bulk_deadline_s), asyncio.Semaphore(BULK_SLOTS), config.bulk_deadline_s
        ),
    }
    return Connection(config=config, loop=loop, lanes=lanes, outage=outage_of(config.address))


def _new_client(config: QdrantConfig, deadline_s: float) -> AsyncQdrantClient:
    return AsyncQdrantClient(
        host=config.host,
        port=config.port,
        grpc_port=config.grpc_port,
        https=config.tls,
        # As a header: given as `api_key` the client warns on every plain connection, also within one machine.
        headers={"api-key": config.api_key} if config.api_key else None,
        timeout=max(1, round(deadline_s)),
        prefer_grpc=True,
        check_compatibility=False,
        grpc_options=dict(GRPC_OPTIONS),
    )


def drop_connection(connection: Connection) -> None:
    """Forget a connection that no longer works; the next call makes a new one."""
    if _connections.get(connection.loop) is connection:
        del _connections[connection.loop]


async def close_connections() -> None:
    """Close the connection of the running loop and forget those of loops that are gone. Never raises."""
    connection = _connections.pop(asyncio.get_running_loop(), None)
    _forget_dead_loops()
    if connection is not None and _pid == os.getpid():
        await connection.close()


def _forget_dead_loops() -> None:
    for loop in [loop for loop in list(_connections) if loop.is_closed()]:
        _connections.pop(loop, None)


async def _close_quietly(client: AsyncQdrantClient) -> None:
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        async with asyncio.timeout(CLOSE_GRACE_S):
            await client.close()
