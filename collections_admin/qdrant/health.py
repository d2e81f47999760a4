"""Does Qdrant answer, how fast, and is it a version that the client understands?"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from time import monotonic

from qdrant_client.common.version_check import is_compatible

from collections_admin.errors import ConsoleError
from collections_admin.qdrant.calls import call
from collections_admin.qdrant.client import current_connection

DEADLINE_S = 2.0
FIRST_LOOK_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """`message` says what is wrong, empty when nothing is; `skew` is the banner for a version too far away.

    `since` is the start of the outage, None while Qdrant answers; `ok` is None before the first answer.
    """

    ok: bool | None
    version: str
    round_trip_ms: float | None
    since: datetime | None
    address: str
    message: str
    skew: str
    at: datetime


async def check_health() -> Health:
    """One round trip, at most two seconds. Never raises for what Qdrant does."""
    connection = current_connection()
    address = connection.config.address
    try:
        answer = await call("health", "", lambda client, _: client.info(), deadline_s=DEADLINE_S)
    except ConsoleError as error:
        return _health(address, ok=False, message=error.message)
    served = answer.message.version
    return _health(address, ok=True, version=served, round_trip_ms=answer.total_s * 1000, skew=_skew(served))


async def last_health(*, max_age_s: float = 5.0) -> Health:
    """The last known state, for the header of a page: waits 0.1 s at most, and only before the first answer.

    A state older than `max_age_s` is refreshed in the background, by one check at a time.
    """
    connection = current_connection()
    known: tuple[float, Health] | None = _known.get(connection.config.address)
    if known is not None and monotonic() - known[0] <= max_age_s:
        return known[1]
    task = connection.background("health", _refresh)
    if known is None:
        await asyncio.wait([task], timeout=FIRST_LOOK_S)
        known = _known.get(connection.config.address)
    return known[1] if known else _health(connection.config.address, ok=None, message="Not asked yet.")


async def _refresh() -> None:
    health = await check_health()
    _known[health.address] = (monotonic(), health)


_known: dict[str, tuple[float, Health]] = {}


def forget_health() -> None:
    """For tests and for a changed configuration."""
    _known.clear()


def _health(address: str, *, ok: bool | None, message: str = "", **known: object) -> Health:
    facts = {"version": "", "round_trip_ms": None, "skew": ""} | known
    since = current_connection().outage.since if ok is False else None
    return Health(ok=ok, since=since, address=address, message=message, at=datetime.now(tz=UTC), **facts)


@lru_cache(maxsize=8)
def _skew(served: str) -> str:
    ours = version("qdrant-client")
    if is_compatible(ours, served):
        return ""
    return (
        f"Qdrant {served or 'of unknown version'} is more than one minor version away from the client "
        f"({ours}); some pages may fail."
    )
