"""What a handler is given: parameters, progress, log, checkpoints, and writes refused to a lost attempt."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, connection

from collections_admin.concurrency import in_thread, in_transaction
from collections_admin.jobs import leases
from collections_admin.jobs.errors import JobCancelled, JobInterrupted, JobLost, WorkerStopping
from collections_admin.jobs.leases import Lease
from collections_admin.jobs.plain import plain_json, plain_text
from collections_admin.models.jobs import Job, JobLog, LogLevel

P = ParamSpec("P")
T = TypeVar("T")

WRITE_INTERVAL = 0.5  # seconds between two writes of progress and log
LOG_LINES = 500  # of one attempt

_URGENCY: dict[type[JobInterrupted], int] = {WorkerStopping: 1, JobCancelled: 2, JobLost: 3}
logger = logging.getLogger(__name__)


class RunningJob:
    """One attempt of a job. `parameters` came from outside: look every object up within `tenant_id`."""

    def __init__(self, job: Job) -> None:
        self.id = job.pk
        self.short_id = job.short_id
        self.kind = job.kind
        self.parameters: dict[str, Any] = job.parameters
        self.saved_state: dict[str, Any] = job.saved_state
        self.tenant_id: int | None = job.tenant_id
        self.collection_id: int | None = job.collection_id
        self.document_id = job.document_id
        self.created_by_id: int | None = job.created_by_id
        self.attempt = job.attempt
        self.lease = Lease(job_id=job.pk, attempt=job.attempt, worker=job.worker)
        self.interruption: type[JobInterrupted] | None = None
        self.interruption_reason = ""
        self._interrupted = asyncio.Event()
        self._progress: dict[str, Any] = {}
        self._lines: list[JobLog] = []
        self._line_count = 0
        self._written_at = float("-inf")
        self._writer: asyncio.Task[None] | None = None

    @property
    def cancelled(self) -> bool:
        return self.interruption is JobCancelled

    @property
    def should_stop(self) -> bool:
        """The next checkpoint will raise."""
        return self.interruption is not None

    async def checkpoint(self) -> None:
        """Call it between steps. Raises `JobCancelled`, `JobLost` or `WorkerStopping`; let them pass."""
        await asyncio.sleep(0)
        if self.interruption:
            raise self.interruption(self.interruption_reason)

    async def confirm(self) -> None:
        """A checkpoint that asks the database, for use just before changing an outside system, which has no fence: a
        worker that was stopped for a while has not noticed yet that its job goes on elsewhere.
        """
        await self.checkpoint()
        await in_thread(leases.confirm)(self.lease)

    async def sleep(self, seconds: float) -> None:
        """A pause that an interruption ends at once, as a checkpoint does."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._interrupted.wait(), seconds)
        await self.checkpoint()

    async def progress(self, done: int, total: int | None = None, message: str = "", *, unit: str = "") -> None:
        """At most two writes a second; the last call is always written."""
        self._progress = {
            "progress_done": max(done, 0),
            "progress_total": total,
            "progress_message": plain_text(message, 200),
        } | ({"progress_unit": plain_text(unit, 30)} if unit else {})
        await self._write_soon()

    async def log(self, level: str, message: str) -> None:
        """`level` is info, warning or error. Beyond 500 lines of an attempt, further ones are left out."""
        if self._line_count > LOG_LINES:
            return
        self._line_count += 1
        if self._line_count > LOG_LINES:
            level, message = LogLevel.WARNING, "Further lines of this attempt are left out."
        line = JobLog(job_id=self.id, attempt=self.attempt, level=LogLevel(level), message=plain_text(message, 2000))
        self._lines.append(line)
        await self._write_soon()

    async def save_state(self, state: dict[str, Any]) -> None:
        """Kept for the next attempt (`saved_state`), should this one not end. Raises `JobLost`."""
        self.saved_state = plain_json(state)
        await in_thread(leases.write)(self.lease, saved_state=self.saved_state)

    async def fenced(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a synchronous database function in one transaction that holds the job's row. Raises `JobLost`.

        Nothing slow belongs in it: no call of Qdrant or of a model.
        """

        def guarded() -> T:
            leases.lock(self.lease)
            return function(*args, **kwargs)

        return await in_transaction(guarded)()

    def interrupt(self, interruption: type[JobInterrupted], reason: str = "") -> None:
        """Called by the worker; the more urgent interruption stays."""
        current = _URGENCY[self.interruption] if self.interruption else 0
        if _URGENCY[interruption] > current:
            self.interruption, self.interruption_reason = interruption, reason
        self._interrupted.set()

    async def flush(self) -> None:
        """Write what waits. Problems of the database are logged: progress must not fail a job."""
        if self._writer and self._writer is not asyncio.current_task():
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
            self._writer = None
        progress, self._progress = self._progress, {}
        lines, self._lines = self._lines, []
        if progress or lines:
            self._written_at = monotonic()
            await self._write(progress, lines)

    async def _write(self, progress: dict[str, Any], lines: list[JobLog]) -> None:
        try:
            await in_thread(leases.write)(self.lease, log=lines, **progress)
        except JobLost:
            self.interrupt(JobLost)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("job %s: progress could not be written: %s", self.short_id, error)
            await in_thread(close_if_broken)()

    async def _write_soon(self) -> None:
        wait = self._written_at + WRITE_INTERVAL - monotonic()
        if wait <= 0:
            await self.flush()
        elif self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_later(wait))

    async def _write_later(self, wait: float) -> None:
        await asyncio.sleep(wait)
        self._writer = None
        await self.flush()


def close_if_broken() -> None:
    """After an error outside a transaction: the next query of this thread gets a sound connection."""
    if connection.connection is not None:
        connection.close_if_unusable_or_obsolete()
