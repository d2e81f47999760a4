"""The border between async code and Django's synchronous database access: the one place that crosses it."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import transaction

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Make a synchronous database function awaitable. It runs in the request's (or job's) own thread."""
    return wraps(function)(sync_to_async(function, thread_sensitive=True))


def in_transaction(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Like `in_thread`, in one transaction. A cancelled caller does not undo it: the thread goes on and commits."""

    @wraps(function)
    def atomic(*args: P.args, **kwargs: P.kwargs) -> T:
        with transaction.atomic():
            return function(*args, **kwargs)

    return in_thread(atomic)


async def together(*work: Awaitable[Any]) -> list[Any]:
    """The results of all, or the first error once the others have ended: a request must not leave tasks behind."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
