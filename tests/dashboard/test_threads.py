import asyncio
import threading
from typing import Any

from asgiref.sync import sync_to_async

from dashboard.threads import MOST_IDLE, KeptThreads


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


async def test_a_thread_is_given_back_when_a_request_fails() -> None:
    async def failing(scope: dict, receive: Any, send: Any) -> None:
        await sync_to_async(int)("nothing")

    application = KeptThreads(failing)
    for _ in range(3):
        assert isinstance((await asyncio.gather(application({}, None, None), return_exceptions=True))[0], ValueError)
    assert len(application.idle) == 1
