import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from collections_admin.concurrency import in_thread
from collections_admin.models import Tenant
from dashboard.threads import MOST_IDLE, KeptThreads, RequestThread


def recording(seen: list[int], gate: asyncio.Event | None = None) -> KeptThreads:
    async def application(scope: dict, receive: Any, send: Any) -> None:
        seen.append(await sync_to_async(threading.get_ident)())
        if gate is not None:
            await gate.wait()

    return KeptThreads(application)


async def test_requests_one_after_the_other_share_a_thread() -> None:
    seen: list[int] = []
    application = recording(seen)
    for _ in range(5):
        await application({}, None, None)
    assert len(seen) == 5
    assert len(set(seen)) == 1


async def test_requests_at_once_have_threads_of_their_own_and_few_are_kept() -> None:
    seen: list[int] = []
    gate = asyncio.Event()
    application = recording(seen, gate)
    tasks = [asyncio.create_task(application({}, None, None)) for _ in range(MOST_IDLE + 4)]
    while len(seen) < len(tasks):
        await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(*tasks)
    assert len(set(seen)) == len(tasks)
    assert len(application.idle) == MOST_IDLE


async def test_a_thread_whose_request_failed_ends() -> None:
    threads: list[threading.Thread] = []

    async def failing(scope: dict, receive: Any, send: Any) -> None:
        threads.append(await sync_to_async(threading.current_thread)())
        raise ValueError("failed outside Django")

    application = KeptThreads(failing)
    for _ in range(2):
        with pytest.raises(ValueError, match="failed outside"):
            await application({}, None, None)
    await asyncio.to_thread(lambda: [thread.join(5) for thread in threads])
    assert application.idle == []
    assert [thread.is_alive() for thread in threads] == [False, False]


@pytest.mark.parametrize("is_failing", [True, False])
async def test_a_request_given_up_during_a_transaction_neither_blocks_nor_mixes_with_the_next(
    transactional_db: None, is_failing: bool
) -> None:
    """Its thread goes on and commits, on a connection that the next request does not have."""
    begun, go_on = threading.Event(), threading.Event()
    ended: list[threading.Thread] = []
    looked: list[tuple[bool, bool]] = []

    @in_thread
    def write_slowly() -> None:
        ended.append(threading.current_thread())
        with suppress(ValueError), transaction.atomic():
            Tenant.objects.create(name="slow")
            begun.set()
            go_on.wait(10)
            if is_failing:
                raise ValueError

    @in_thread
    def look() -> tuple[bool, bool]:
        return connection.in_atomic_block, Tenant.objects.filter(name="slow").exists()

    async def page(scope: dict, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow/":
            await write_slowly()
        looked.append(await look())

    application = KeptThreads(page)
    await application({"path": "/"}, None, None)
    first = asyncio.create_task(application({"path": "/slow/"}, None, None))
    await asyncio.to_thread(begun.wait, 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert application.idle == []
    await asyncio.wait_for(application({"path": "/"}, None, None), 10)
    go_on.set()
    await asyncio.to_thread(ended[0].join, 10)
    await application({"path": "/"}, None, None)
    assert looked == [(False, False), (False, False), (False, not is_failing)]
    assert not ended[0].is_alive()
    await application.close()


async def test_a_thread_with_work_left_is_not_kept() -> None:
    go_on = threading.Event()

    async def leaves_work(scope: dict, receive: Any, send: Any) -> None:
        scope["task"] = asyncio.ensure_future(sync_to_async(go_on.wait)(10))
        await asyncio.sleep(0)

    application, scope = KeptThreads(leaves_work), {}
    await application(scope, None, None)
    assert application.idle == []
    go_on.set()
    assert await scope["task"]


async def test_a_task_left_behind_cannot_use_the_thread_of_the_next_request() -> None:
    async def touch_later(gate: asyncio.Event) -> None:
        await gate.wait()
        await sync_to_async(int)()

    async def leaves_task(scope: dict, receive: Any, send: Any) -> None:
        scope["task"] = asyncio.create_task(touch_later(scope["gate"]))

    scope = {"gate": asyncio.Event()}
    await KeptThreads(leaves_task)(scope, None, None)
    scope["gate"].set()
    with pytest.raises(RuntimeError, match="has exited"):
        await scope["task"]


async def test_a_connection_stays_with_its_thread_and_is_closed_in_the_end(transactional_db: None) -> None:
    found: list[Any] = []
    wrappers: list[Any] = []

    @in_thread
    def query() -> None:
        Tenant.objects.exists()
        found.append(connection.connection)
        wrappers.append(connections["default"])

    async def page(scope: dict, receive: Any, send: Any) -> None:
        await query()

    application = KeptThreads(page)
    await application({}, None, None)
    await application({}, None, None)
    assert found[0] is not None
    assert found[0] is found[1]
    await application.close()
    assert wrappers[0].connection is None
    assert application.idle == []


async def test_a_thread_that_ends_does_its_work_first() -> None:
    thread, done = RequestThread(), []
    thread.submit(done.append, 1)
    thread.submit(done.append, 2)
    await asyncio.wrap_future(thread.end())
    assert done == [1, 2]
