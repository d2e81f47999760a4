"""How every call to Qdrant is made: a slot, a deadline, retries of reads, an error of ours, a timing."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from qdrant_client import AsyncQdrantClient

from collections_admin.errors import ConsoleError
from collections_admin.qdrant.client import Connection, Lane, LaneName, current_connection, drop_connection
from collections_admin.qdrant.errors import (
    Attempt,
    UnreadableAnswer,
    is_from_dead_loop,
    is_unavailable,
    outcome_of,
    retry_after_s,
    translate,
)
from collections_admin.qdrant.observer import report

logger = logging.getLogger(__name__)

Send = Callable[[AsyncQdrantClient, float], Awaitable[Any]]
READ_RETRIES = 2
# While Qdrant is known not to answer, pages with several calls must not wait the whole deadline for each of them.
# The health check keeps its own deadline and ends this state.
KNOWN_DOWN_DEADLINE_S = 1.0
LEAST_LEFT_S = 0.01  # with less time left no answer can come; asking would only load Qdrant
RATE_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """`message` is the protobuf answer; `server_s` what Qdrant spent on it, where it says so."""

    message: Any
    total_s: float
    server_s: float | None


@dataclass(frozen=True, slots=True)
class _Call:
    attempt: Attempt
    lane: Lane
    send: Send
    ends: float

    def remaining_s(self) -> float:
        return self.ends - perf_counter()


async def call(
    operation: str,
    collection: str,
    send: Send,
    *,
    lane: LaneName = "interactive",
    deadline_s: float | None = None,
    is_write: bool = False,
) -> Answer:
    """Await `send(client, seconds left)` within the deadline of the lane, waiting for a slot included.

    Raises ConsoleError only (see errors.py), besides CancelledError.
    """
    started, outcome, server_s = perf_counter(), "ok", None
    connection = current_connection()
    used = connection.lanes[lane]
    limit = deadline_s or used.deadline_s
    if deadline_s is None and lane == "interactive" and connection.outage.is_established():
        limit = min(limit, KNOWN_DOWN_DEADLINE_S)
    attempt = Attempt(
        operation=operation,
        collection=collection,
        waited_s=limit,
        is_write=is_write,
        outage=connection.outage,
    )
    try:
        async with asyncio.timeout(limit):
            message = await _send_with_retries(connection, _Call(attempt, used, send, started + limit), lane)
        server_s = getattr(message, "time", None)
        return Answer(message, perf_counter() - started, server_s)
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    except Exception as error:
        ours = translate(error, attempt)
        outcome = outcome_of(ours)
        _log(ours, outcome, attempt)
        raise ours from error
    finally:
        report(operation, collection, outcome, perf_counter() - started, server_s)


async def _send_with_retries(connection: Connection, asked: _Call, lane: LaneName) -> Any:
    failures = 0
    while True:
        try:
            message = await _send_once(asked)
        except Exception as error:
            failures += 1
            if is_from_dead_loop(error) and failures == 1:
                drop_connection(connection)
                asked = replace(asked, lane=current_connection().lanes[lane])
                continue
            pause = _pause_before_retry(error, asked.attempt, failures)
            if pause is None or pause > asked.remaining_s():
                raise
            await asyncio.sleep(pause)
        else:
            connection.outage.answered()
            if message is None:  # grpc logs what it cannot decode and answers None
                raise UnreadableAnswer
            return message


def _pause_before_retry(error: Exception, attempt: Attempt, failures: int) -> float | None:
    """Seconds to wait before the same call again, None when it is not to be repeated.

    A rate-limited call was not carried out, so a write may be repeated then; after UNAVAILABLE only a read
    is, and not while Qdrant is known to be down: that would only make the page wait.
    """
    if (asked_to_wait := retry_after_s(error)) is not None:
        return asked_to_wait if failures <= RATE_RETRIES else None
    if not is_unavailable(error) or attempt.is_write or failures > READ_RETRIES or attempt.outage.is_established():
        return None
    return random.uniform(0.05, 0.15) * 2**failures  # noqa: S311 - spreads retries, keeps no secret


async def _send_once(asked: _Call) -> Any:
    """One RPC. A cancelled caller (the browser left) lets it end: many reset streams make Qdrant hang up."""
    await asked.lane.slots.acquire()
    left_s = asked.remaining_s()
    if left_s < LEAST_LEFT_S:
        asked.lane.slots.release()
        raise TimeoutError
    try:
        sent = asyncio.ensure_future(asked.send(asked.lane.client, left_s))
    except BaseException:
        asked.lane.slots.release()
        raise
    sent.add_done_callback(lambda _: asked.lane.slots.release())
    try:
        return await asyncio.shield(sent)
    except asyncio.CancelledError:
        if asked.remaining_s() <= 0:
            sent.cancel()
        raise


def _log(error: ConsoleError, outcome: str, attempt: Attempt) -> None:
    if outcome in {"rejected", "overloaded", "too_large"}:
        logger.warning("%s on %s: %s", attempt.operation, attempt.collection or "Qdrant", error)
