"""The few threads that do heavy computing, so that the event loop and its default executor stay free.

Give it pieces of work of at most some tens of milliseconds: a piece that has begun cannot be cancelled.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2
SWITCH_SECONDS = 0.001


@cache
def _executor() -> ThreadPoolExecutor:
    # Splitting is pure Python: with the default of 5 ms the event loop waits that long for each of its turns.
    sys.setswitchinterval(SWITCH_SECONDS)
    return ThreadPoolExecutor(THREADS, thread_name_prefix="cpu")


async def compute(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that touches neither database nor network in a thread of the computing pool."""
    return await asyncio.get_running_loop().run_in_executor(_executor(), partial(function, *args, **kwargs))
