"""From the database to open sockets: one reader in each web process while somebody watches.

PostgreSQL tells of each change; SQLite is polled. Messages are hints: any may be lost, and after a gap all watchers are
told to read again.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from collections_admin.jobs.listening import listen
from collections_admin.jobs.notices import CHANGES_CHANNEL, hints
from collections_admin.models.jobs import Job

POLL_SECONDS = 0.4
START_SECONDS = 3.0  # a socket waits for the reader; then it opens without
GATHER_SECONDS = 0.1  # changes of one job within it become one message
HINTS_AT_ONCE = 50  # for one tenant; more become one "read again", the queue of a socket holds 100
# A transaction gets its time before it waits for SQLite's lock (at most 20 s), so late ones may look old.
WINDOW = timedelta(seconds=30)

Hint = dict[str, Any]
logger = logging.getLogger(__name__)


def tenant_group(tenant_id: int) -> str:
    return f"jobs.tenant.{tenant_id}"


def job_group(tenant_id: int, job_id: UUID | str) -> str:
    return f"jobs.tenant.{tenant_id}.job.{job_id}"


@asynccontextmanager
async def watching(tenant_id: int) -> AsyncIterator[None]:
    """Changes of the tenant's jobs are sent to its groups meanwhile; "resync" if reading begins late."""
    reader = _readers.setdefault(asyncio.get_running_loop(), ChangeReader())
    reader.add(tenant_id)
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.reading.wait(), START_SECONDS)
        yield
    finally:
        await reader.remove(tenant_id)


class ChangeReader:
    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self._watched: Counter[int] = Counter()
        self._pending: dict[str, Hint] = {}
        self._task: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    def add(self, tenant_id: int) -> None:
        self._watched[tenant_id] += 1
        if self._task is None:
            read = self._hear if connection.vendor == "postgresql" else self._poll
            self._task = asyncio.create_task(read(), name="job-changes")

    async def remove(self, tenant_id: int) -> None:
        self._watched[tenant_id] -= 1
        self._watched += Counter()  # drops the zeros
        if not self._watched and self._task:
            task, self._task = self._task, None
            self.reading.clear()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _hear(self) -> None:
        async for payload in listen(CHANGES_CHANNEL):
            if payload is None:
                await self._begin()
            else:
                hint = json.loads(payload)
                self._pending[hint["id"]] = hint
                self._send_soon()

    async def _poll(self) -> None:
        poller, in_gap = Poller(), True
        try:
            while True:
                try:
                    changed = await poller.changed(list(self._watched))
                    await (self._begin() if in_gap else self._send(changed))
                    in_gap = False
                except DatabaseError:
                    logger.exception("The jobs that changed could not be read")
                    in_gap = True
                await asyncio.sleep(POLL_SECONDS)
        finally:
            poller.close()

    def _send_soon(self) -> None:
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_gathered())

    async def _send_gathered(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        pending, self._pending = self._pending, {}
        await self._send(list(pending.values()))

    async def _send(self, changed: list[Hint]) -> None:
        by_tenant: dict[int, list[Hint]] = {}
        for hint in changed:
            if hint["tenant"] in self._watched:
                by_tenant.setdefault(hint["tenant"], []).append(hint)
        for tenant_id, mine in by_tenant.items():
            await _send_to_tenant(tenant_id, mine)
            for hint in mine:
                await _send_to(job_group(tenant_id, hint["id"]), hint)

    async def _begin(self) -> None:
        """From here on nothing is missed; what was before may have been."""
        self.reading.set()
        for tenant_id in list(self._watched):
            await _send_to(tenant_group(tenant_id), {"type": "resync"})


class Poller:
    """Finds the changed jobs of SQLite in a thread, and with a connection, of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="job-changes")
        self._seen: dict[str, int] = {}
        self._mark: Any = None

    async def changed(self, tenant_ids: list[int]) -> list[Hint]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._changed, tenant_ids)

    def close(self) -> None:
        self._thread.submit(connections.close_all)
        self._thread.shutdown(wait=False)

    def _changed(self, tenant_ids: list[int]) -> list[Hint]:
        mark = (_data_version(), tenant_ids)
        if mark == self._mark:
            return []
        recent = hints(Job.objects.filter(updated_at__gt=timezone.now() - WINDOW, tenant__in=tenant_ids).order_by())
        changed = [hint for hint in recent if self._seen.get(hint["id"]) != hint["version"]]
        self._seen = {hint["id"]: hint["version"] for hint in recent}
        self._mark = mark
        return changed


def _data_version() -> int:
    """Differs from before when another connection has written to the file."""
    with connection.cursor() as cursor:
        return cursor.execute("PRAGMA data_version").fetchone()[0]


async def _send_to_tenant(tenant_id: int, mine: list[Hint]) -> None:
    for hint in mine if len(mine) <= HINTS_AT_ONCE else [{"type": "resync"}]:
        await _send_to(tenant_group(tenant_id), hint)


async def _send_to(group: str, message: Hint) -> None:
    await get_channel_layer().group_send(group, {"type": "job.news", "message": message})


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, ChangeReader] = WeakKeyDictionary()
