"""The border between async code and Django's synchronous database access: the one place that crosses it."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

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
