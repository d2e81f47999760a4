"""Threads for the database work of requests, kept from one request to the next.

Django starts a new thread per request and ends it afterwards, which takes longer than all queries of a page.
"""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

MOST_IDLE = 16


class KeptThreads:
    """Each request has a thread of its own while it runs; up to `MOST_IDLE` wait for the next ones."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application
        self.idle: list[ThreadPoolExecutor] = []

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        thread = self.idle.pop() if self.idle else ThreadPoolExecutor(1, "request")
        try:
            # Django's own context inside this one changes nothing: the outermost counts.
            async with ThreadSensitiveContext(executor=thread):
                await self.application(scope, receive, send)
        finally:
            self._keep(thread)

    def _keep(self, thread: ThreadPoolExecutor) -> None:
        if len(self.idle) < MOST_IDLE:
            self.idle.append(thread)
        else:
            thread.shutdown(wait=False)
