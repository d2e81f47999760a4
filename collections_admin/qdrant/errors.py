"""What Qdrant, gRPC and the client can raise, as errors of ours.

Unavailable (503)
    QdrantUnavailable       nothing answers at the address
    QdrantTimeout           no answer within the deadline
        WriteUnknown        a write that may or may not have been applied; it can be repeated
    QdrantRejected          Qdrant answered with an error, or with something that is not an answer
        QdrantOverloaded    a rate limit; `retry_after_s` when Qdrant names one
NotFound (404)
    CollectionMissing       `collection`
    PointMissing
Conflict (409)
    AlreadyExists
TooLarge (413)
    MessageTooLarge         a request or an answer over the limit of the connection
"""

import re
from dataclasses import dataclass

import grpc
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from collections_admin.errors import (
    Conflict,
    ConsoleError,
    NotFound,
    QdrantRejected,
    QdrantTimeout,
    QdrantUnavailable,
    TooLarge,
)
from collections_admin.qdrant.outage import Outage


class WriteUnknown(QdrantTimeout):
    """A write that may or may not have been applied. Every write of ours can be repeated."""


class QdrantOverloaded(QdrantRejected):
    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CollectionMissing(NotFound):
    def __init__(self, collection: str) -> None:
        super().__init__(f"Qdrant has no collection or alias named {collection!r}.")
        self.collection = collection


class PointMissing(NotFound):
    pass


class AlreadyExists(Conflict):
    pass


class MessageTooLarge(TooLarge):
    pass


class UnreadableAnswer(QdrantRejected):
    def __init__(self) -> None:
        super().__init__("Qdrant sent an answer that cannot be read.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What was asked, for the sentence of an error. `waited_s` is the deadline of the call."""

    operation: str
    collection: str
    waited_s: float
    is_write: bool
    outage: Outage


OUTCOMES: tuple[tuple[type[ConsoleError], str], ...] = (
    (QdrantTimeout, "timeout"),
    (QdrantUnavailable, "unavailable"),
    (QdrantOverloaded, "overloaded"),
    (QdrantRejected, "rejected"),
    (NotFound, "missing"),
    (Conflict, "conflict"),
    (TooLarge, "too_large"),
)
_TOO_LARGE = re.compile(
    r"larger than max|message (?:length|size)|too large|exceeds? .*limit of \d+ bytes", re.IGNORECASE
)
_DEAD_LOOP = re.compile(
    r"loop is closed|attached to a different loop|channel is closed|client was closed", re.IGNORECASE
)
_CODE = grpc.StatusCode
_FAILURE = "Qdrant at {0.outage.address} failed during {0.operation}"
_REFUSALS = dict.fromkeys(
    (_CODE.INVALID_ARGUMENT, _CODE.FAILED_PRECONDITION, _CODE.OUT_OF_RANGE),
    "Qdrant refused the {0.operation} call",
) | {
    _CODE.UNAUTHENTICATED: "Qdrant at {0.outage.address} refuses the API key",
    _CODE.PERMISSION_DENIED: "Qdrant at {0.outage.address} refuses the API key",
    _CODE.UNIMPLEMENTED: "This Qdrant cannot do {0.operation}",
}


def outcome_of(error: ConsoleError) -> str:
    return next((word for kind, word in OUTCOMES if isinstance(error, kind)), "rejected")


def is_from_dead_loop(error: BaseException) -> bool:
    """True for what grpc raises when a connection outlived its event loop."""
    return isinstance(error, RuntimeError | grpc.aio.UsageError) and bool(_DEAD_LOOP.search(str(error)))


def is_unavailable(error: BaseException) -> bool:
    return isinstance(error, grpc.aio.AioRpcError) and error.code() is _CODE.UNAVAILABLE


def retry_after_s(error: BaseException) -> float | None:
    """Seconds Qdrant asks to wait before the next request, None when it does not say so."""
    return float(error.retry_after_s) if isinstance(error, ResourceExhaustedResponse) else None


def translate(error: BaseException, attempt: Attempt) -> ConsoleError:
    """The error of ours for whatever a call raised; never raises itself."""
    match error:
        case ConsoleError():
            ours = error
        case grpc.aio.AioRpcError():
            ours = _from_status(error.code(), _clean(error.details() or ""), attempt)
        case ResourceExhaustedResponse():
            ours = _overloaded(_clean(str(error)), attempt, retry_after_s(error))
        case TimeoutError():
            ours = _timed_out(attempt)
        case _ if isinstance(error, OSError) or is_from_dead_loop(error):
            ours = _unavailable(attempt, str(error))
        case _:
            ours = QdrantRejected(f"The {attempt.operation} call to Qdrant failed: {_clean(str(error))}")
    return ours


def _from_status(code: grpc.StatusCode, text: str, attempt: Attempt) -> ConsoleError:
    if code in {_CODE.UNAVAILABLE, _CODE.CANCELLED, _CODE.ABORTED}:
        return _unavailable(attempt, text)
    if code is _CODE.DEADLINE_EXCEEDED:
        return _timed_out(attempt)
    attempt.outage.answered()
    if code is _CODE.ALREADY_EXISTS or "already exists" in text:
        return AlreadyExists(text or f"{attempt.collection!r} already exists.")
    if code is _CODE.NOT_FOUND:
        return _not_found(text, attempt)
    if code is _CODE.RESOURCE_EXHAUSTED:
        return _exhausted(text, attempt)
    return QdrantRejected(f"{_REFUSALS.get(code, _FAILURE).format(attempt)}: {text or code.name}")


def _unavailable(attempt: Attempt, text: str) -> ConsoleError:
    attempt.outage.failed(f"does not answer ({text})")
    return QdrantUnavailable(f"Qdrant does not answer at {attempt.outage.address}{attempt.outage.clause()}.")


def _timed_out(attempt: Attempt) -> ConsoleError:
    attempt.outage.failed(f"no answer to {attempt.operation} within {attempt.waited_s:g} s")
    sentence = f"Qdrant at {attempt.outage.address} did not answer within {attempt.waited_s:g} s"
    if attempt.is_write:
        return WriteUnknown(f"{sentence}; the {attempt.operation} may have been applied and can be repeated.")
    return QdrantTimeout(f"{sentence}{attempt.outage.clause()}.")


def _not_found(text: str, attempt: Attempt) -> ConsoleError:
    if "oint" in text and "ollection" not in text:
        return PointMissing(text)
    return CollectionMissing(attempt.collection)


def _exhausted(text: str, attempt: Attempt) -> ConsoleError:
    """gRPC has one status for "too much at once" and "too often"."""
    if _TOO_LARGE.search(text):
        return MessageTooLarge("points", f"The data is larger than one message to or from Qdrant may be: {text}")
    return _overloaded(text, attempt, None)


def _overloaded(text: str, attempt: Attempt, after_s: float | None) -> ConsoleError:
    wait = f"; it asks to wait {after_s:g} s" if after_s else ""
    return QdrantOverloaded(f"Qdrant limits the rate of {attempt.operation} calls{wait}: {text}", retry_after_s=after_s)


def _clean(text: str) -> str:
    """Server text for a page: one line, at most 500 characters, without a closing stop."""
    return " ".join(text.split())[:500]
