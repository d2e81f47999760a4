"""Threads for the database work of requests, kept with their connections from one request to the next.

Django starts a thread and opens a connection per request and drops both afterwards, which takes longer than all
queries of a page. How long a connection stays is up to `CONN_MAX_AGE`: Django closes older ones when a request starts
or ends, in the request's own thread.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

MOST_IDLE = 16


class RequestThread(ThreadPoolExecutor):
    """One thread that does its work in order, and knows whether something is left."""

    def __init__(self) -> None:
        super().__init__(1, "request")
        self._last: Future | None = None

    def submit(self, *args: Any, **kwargs: Any) -> Future:
        self._last = super().submit(*args, **kwargs)
        return self._last

    @property
    def is_busy(self) -> bool:
        # The last piece is done when all before it are.
        return self._last is not None and not self._last.done()

    def end(self) -> Future:
        """After what it is doing, close its connections and end; nobody waits here."""
        closed = self.submit(connections.close_all)
        self.shutdown(wait=False)
        return closed


class KeptThreads:
    """Each request has a thread of its own while it runs; up to `MOST_IDLE` wait for the next ones.

    A thread is kept only when its request ended in order and left nothing running. Work that has begun cannot be
    cancelled: a request given up while its query runs would make the next one wait for that query, and a request that
    failed outside Django may not have given its connection back.
    """

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application
        self.idle: list[RequestThread] = []

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        thread = self.idle.pop() if self.idle else RequestThread()
        is_done = False
        try:
            # Django's own context inside this one changes nothing: the outermost counts. A task that a request starts
            # and leaves behind may not use the thread any more: asgiref raises RuntimeError then.
            async with ThreadSensitiveContext(executor=thread):
                await self.application(scope, receive, send)
            is_done = True
        finally:
            if is_done and not thread.is_busy and len(self.idle) < MOST_IDLE:
                self.idle.append(thread)
            else:
                thread.end()

    async def close(self) -> None:
        """At the end of the process."""
        ending = [thread.end() for thread in self.idle]
        self.idle.clear()
        await asyncio.gather(*map(asyncio.wrap_future, ending), return_exceptions=True)
