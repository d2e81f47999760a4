"""How an attempt ended, and what that writes into the job's row."""

import asyncio
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collections_admin.errors import ConsoleError, InvalidInput
from collections_admin.jobs import leases
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.errors import (
    JobCancelled,
    JobInterrupted,
    PermanentFailure,
    WorkerStopping,
)
from collections_admin.jobs.leases import Lease
from collections_admin.jobs.plain import plain_json
from collections_admin.jobs.registry import JobKind, find_kind

PERMANENT = (InvalidInput, PermanentFailure)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    word: str  # for the log of the worker
    record: Callable[[Lease], Any]


async def run_handler(job: RunningJob) -> Ending:
    """Run the handler of the job's kind. Whatever it raises is part of the answer."""
    kind = find_kind(job.kind)
    if kind:
        return await _run(job, kind)
    return _failed(f"This worker does not know the job kind {job.kind}.", permanent=True)


async def _run(job: RunningJob, kind: JobKind) -> Ending:
    timeout = asyncio.timeout(kind.timeout)
    try:
        async with timeout:
            await job.checkpoint()
            return _succeeded(await kind.handler(job))
    except JobInterrupted as interruption:
        return _interrupted(job, type(interruption))
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
        return _cancelled_task(job, kind)
    except TimeoutError as error:
        own = timeout.expired()
        return _failed(f"It took longer than its {kind.timeout:g} s.", kind=kind) if own else _raised(error, kind)
    except Exception as error:  # noqa: BLE001 - the fault of a handler ends its attempt, not the worker
        return _raised(error, kind)


def _succeeded(result: Any) -> Ending:
    if result is not None and not isinstance(result, dict):
        return _failed(f"Its handler returned {type(result).__name__}, not a dictionary.", permanent=True)
    try:
        plain = plain_json(result)
    except TypeError as error:
        return _failed(f"Its result cannot be stored: {error}.", permanent=True)
    return Ending(word="succeeded", record=lambda lease: leases.succeed(lease, plain))


def _interrupted(job: RunningJob, interruption: type[JobInterrupted]) -> Ending:
    if interruption is JobCancelled:
        return Ending(word="cancelled", record=lambda lease: leases.cancel(lease, job.interruption_reason))
    if interruption is WorkerStopping:
        return Ending(word="given back", record=leases.release)
    return Ending(word="lost", record=_nothing)


def _cancelled_task(job: RunningJob, kind: JobKind) -> Ending:
    if job.interruption:
        return _interrupted(job, job.interruption)
    return _failed("Something inside the handler cancelled it.", kind=kind)


def _raised(error: Exception, kind: JobKind) -> Ending:
    for_people = isinstance(error, ConsoleError | PermanentFailure)
    return _failed(
        str(error) if for_people else f"{type(error).__name__}: {error}",
        kind=kind,
        permanent=isinstance(error, PERMANENT),
        trace="".join(traceback.format_exception(error)),
        wait=getattr(error, "retry_after", None) or 0,
    )


def _failed(
    text: str, *, kind: JobKind | None = None, permanent: bool = False, trace: str = "", wait: float = 0
) -> Ending:
    def record(lease: Lease) -> None:
        backoff = kind.retry_backoff if kind else 0
        leases.fail(lease, error=text, traceback=trace, permanent=permanent, backoff=backoff, wait=wait)

    return Ending(word=f"failed ({text[:200]})", record=record)


def _nothing(_: Lease) -> None:
    """A lost attempt may write nothing."""
