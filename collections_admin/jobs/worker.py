"""One worker process: claims jobs, runs their handlers on one event loop, and stops without losing any."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from uuid import UUID, uuid4

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections

from collections_admin.concurrency import in_thread
from collections_admin.jobs import leases, workers
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.endings import Ending, run_handler
from collections_admin.jobs.errors import JobInterrupted, JobLost, WorkerStopping
from collections_admin.jobs.heart import Heart, release_all
from collections_admin.jobs.leases import Lease
from collections_admin.jobs.listening import listen
from collections_admin.jobs.notices import WAKE_CHANNEL
from collections_admin.models.jobs import Job, Worker

IDLE_SECONDS = 0.5  # between two looks into an empty queue
STOP_CHECKPOINT_SECONDS = 4.0  # handlers have to reach a checkpoint; then their tasks are cancelled
STOP_TASK_SECONDS = 1.5
LEAVE_SECONDS = 2.0
LONGEST_PAUSE = 5.0  # between attempts to reach a database that is away

logger = logging.getLogger(__name__)


class Slot:
    """A running job and its task, as the event loop and the heartbeat thread share them."""

    def __init__(self, job: RunningJob) -> None:
        self.job = job
        self.task: asyncio.Task[None] | None = None
        self.interrupted_at: float | None = None
        self.has_ended = False  # only its end remains to be written, which nothing may cancel

    def age_of_interruption(self) -> float:
        return 0.0 if self.interrupted_at is None else monotonic() - self.interrupted_at


class JobWorker:
    """`parent_pid`: stop when that parent ends. `hard_exit`: called when handlers hold up the stop."""

    def __init__(
        self, *, concurrency: int, parent_pid: int | None = None, hard_exit: Callable[[], None] | None = None
    ) -> None:
        self.id: UUID = uuid4()
        self.slots: dict[Lease, Slot] = {}  # by attempt: one that lost its job may still wind up beside the next
        self.stop_asked_at: float | None = None
        self.parent_pid = parent_pid
        self._concurrency = concurrency
        self._hard_exit = hard_exit
        self._row = workers.new_row(self.id, concurrency=concurrency)
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Work until `request_stop`."""
        self._loop = asyncio.get_running_loop()
        await self._reach_database(lambda: workers.beat(self._row))
        await self._reach_database(workers.sweep)
        heart, listener = Heart(self), asyncio.create_task(self._listen())
        heart.start()
        logger.info("worker %s ready for %d jobs at a time", self._row.name, self._concurrency)
        try:
            while self.stop_asked_at is None:
                await self._fill()
        finally:
            listener.cancel()
            stuck = await self._wind_down()
            heart.stop()  # before the row goes: a beat would write it again
            await self._leave(stuck)
            logger.info("worker %s stopped", self._row.name)

    def request_stop(self, reason: str = "asked to stop") -> None:
        """Safe in signal handlers and other threads."""
        if self.stop_asked_at is None:
            self.stop_asked_at = monotonic()
            self._row.is_stopping = True
            logger.info("worker %s stops: %s", self._row.name, reason)
            self.wake()

    def wake(self) -> None:
        self._on_loop(self._wake.set)

    def interrupt(self, slot: Slot, interruption: type[JobInterrupted], reason: str = "") -> None:
        if slot.interrupted_at is None:
            slot.interrupted_at = monotonic()
        self._on_loop(lambda: slot.job.interrupt(interruption, reason))

    def cancel_task(self, slot: Slot) -> None:
        self._on_loop(lambda: slot.has_ended or slot.task.cancel())

    def as_row(self) -> Worker:
        return self._row

    def exit_hard(self) -> None:
        if self._hard_exit:
            self._hard_exit()

    async def _fill(self) -> None:
        self._wake.clear()
        free = self._concurrency - len(self.slots)
        jobs: list[Job] = []
        if free:
            jobs = await self._reach_database(lambda: leases.claim(self.id, self._row.name, free)) or []
        for job in jobs:
            self._start(job)
        if len(jobs) < free or not free:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), IDLE_SECONDS if free else None)

    def _start(self, job: Job) -> None:
        slot = Slot(RunningJob(job))
        self.slots[slot.job.lease] = slot
        slot.task = asyncio.create_task(self._run(slot), name=f"job-{job.short_id}")
        slot.task.add_done_callback(lambda _: self._ended(slot))

    def _ended(self, slot: Slot) -> None:
        del self.slots[slot.job.lease]
        self._wake.set()
        error = None if slot.task.cancelled() else slot.task.exception()
        if error:  # the lease is not renewed any more: the job will be rescued
            logger.error("job %s: its end could not be recorded", slot.job.short_id, exc_info=error)

    async def _run(self, slot: Slot) -> None:
        """One attempt; its handler has a database thread of its own, claims and ends share the worker's.

        One thread for those: many would wait for each other at SQLite's lock, and a stuck handler would block its end.
        """
        job, began = slot.job, monotonic()
        logger.info("job %s %s started attempt %d", job.short_id, job.kind, job.attempt)
        async with ThreadSensitiveContext() as thread:
            try:
                ending = await run_handler(job)
                slot.has_ended = True
                await job.flush()
            finally:
                if thread in SyncToAsync.context_to_thread_executor:  # it exists once the handler has used it
                    await in_thread(connections.close_all)()
        if await self._record(job, ending):
            logger.info("job %s %s %s after %.1f s", job.short_id, job.kind, ending.word, monotonic() - began)

    async def _record(self, job: RunningJob, ending: Ending) -> bool:
        try:
            await self._reach_database(lambda: ending.record(job.lease))
        except JobLost:
            logger.warning("job %s %s lost before attempt %d ended", job.short_id, job.kind, job.attempt)
            return False
        except DatabaseError as error:
            text = f"Its end could not be stored: {error}"
            await self._reach_database(lambda: leases.fail(job.lease, error=text, permanent=True))
        return True

    async def _reach_database(self, function: Callable):
        """Call it until the database answers; None when the worker has to stop before."""
        pause = 0.2
        while True:
            try:
                return await in_thread(function)()
            except (OperationalError, InterfaceError) as error:
                logger.warning("The database does not answer, next attempt in %.1f s: %s", pause, error)
                await in_thread(connections.close_all)()
            if self.stop_asked_at is not None:
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _listen(self) -> None:
        if connection.vendor == "postgresql":
            async for _ in listen(WAKE_CHANNEL):
                self._wake.set()

    async def _wind_down(self) -> list[Lease]:
        """The attempts whose handlers do not end."""
        for slot in self.slots.values():
            self.interrupt(slot, WorkerStopping, "The worker stops.")
        await self._tasks_end(STOP_CHECKPOINT_SECONDS)
        for slot in self.slots.values():
            self.cancel_task(slot)
        await self._tasks_end(STOP_TASK_SECONDS)
        return list(self.slots)

    async def _leave(self, stuck: list[Lease]) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(_release_and_leave, stuck, self.id), LEAVE_SECONDS)
        if stuck:
            self.exit_hard()

    async def _tasks_end(self, seconds: float) -> None:
        tasks = [slot.task for slot in self.slots.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def _on_loop(self, callback: Callable[[], object]) -> None:
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)


def _release_and_leave(held: list[Lease], worker_id: UUID) -> None:
    release_all(held)
    with suppress(DatabaseError, InterfaceError):
        workers.remove(worker_id)
    connections.close_all()
