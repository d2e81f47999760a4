"""Timings of every Qdrant call, handed to whoever asks for them (metrics live in another package)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationTiming:
    """One call, retries included.

    `outcome` is ok, timeout, unavailable, overloaded, rejected, missing, conflict, too_large or cancelled.
    `total_s` runs from the request for a slot to the answer; `server_s` is what Qdrant says it spent.
    """

    operation: str
    collection: str
    outcome: str
    total_s: float
    server_s: float | None
    at: datetime


Observer = Callable[[OperationTiming], object]
_observers: list[Observer] = []


def add_observer(observer: Observer) -> Callable[[], None]:
    """Call `observer` (fast, synchronous) after each call to Qdrant; the answer removes it again."""
    _observers.append(observer)
    return lambda: _observers.remove(observer) if observer in _observers else None


def report(operation: str, collection: str, outcome: str, total_s: float, server_s: float | None) -> None:
    if not _observers:
        return
    timing = OperationTiming(
        operation=operation,
        collection=collection,
        outcome=outcome,
        total_s=total_s,
        server_s=server_s,
        at=datetime.now(tz=UTC),
    )
    for observer in tuple(_observers):
        try:
            observer(timing)
        except Exception:
            logger.exception("An observer of Qdrant calls failed on %s", operation)
