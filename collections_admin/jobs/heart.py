"""The part of a worker that goes on when a handler blocks the event loop: a thread with its own connection.

It renews leases, rescues jobs of dead workers, notices cancelled and lost jobs, and enforces the time limits
of cancelling and stopping.
"""

import logging
import os
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

from collections_admin.jobs import leases, workers
from collections_admin.jobs.errors import JobCancelled, JobLost
from collections_admin.jobs.leases import HeldJob

if TYPE_CHECKING:
    from collections_admin.jobs.worker import JobWorker, Slot

LOOK_SECONDS = 1.0
CANCEL_TASK_AFTER = 1.5  # seconds a handler has to reach a checkpoint
CANCEL_FOR_GOOD_AFTER = 3.0  # then the row is cancelled over its head
STOP_FOR_GOOD_AFTER = 7.0

logger = logging.getLogger(__name__)


class Heart(threading.Thread):
    def __init__(self, worker: "JobWorker") -> None:
        super().__init__(name="job-heartbeat", daemon=True)
        self._worker = worker
        self._over = threading.Event()
        self._renewed_at = float("-inf")
        self._rescued_at = float("-inf")
        self._no_rescue_before = float("-inf")
        self._database_away = False

    def run(self) -> None:
        use_own_connection()
        try:
            while not self._over.wait(min(LOOK_SECONDS, settings.JOB_HEARTBEAT_SECONDS)):
                self._beat()
        finally:
            connections.close_all()

    def stop(self) -> None:
        self._over.set()
        self.join(timeout=2)

    def _beat(self) -> None:
        self._watch_parent()
        try:
            self._renew()
            self._look()
            self._rescue()
            self._database_is(away=False)
        except (DatabaseError, InterfaceError) as error:
            self._database_is(away=True, error=error)
            connections.close_all()
        except Exception:
            logger.exception("The heartbeat of the worker failed once")
        self._enforce_stop()

    def _renew(self) -> None:
        now = monotonic()
        if now - self._renewed_at < settings.JOB_HEARTBEAT_SECONDS:
            return
        leases.renew(self._worker.id, [lease.job_id for lease in self._worker.slots.copy()])
        workers.beat(self._worker.as_row())
        if now - self._renewed_at > settings.JOB_LEASE_SECONDS / 2 and self._renewed_at > 0:
            # Nobody could renew while the database was away: let living workers do so before judging them.
            self._no_rescue_before = now + settings.JOB_LEASE_SECONDS / 2
        self._renewed_at = now

    def _look(self) -> None:
        slots = self._worker.slots.copy()
        if not slots:
            return
        held = leases.look(self._worker.id, [lease.job_id for lease in slots])
        for lease, slot in slots.items():
            self._judge(slot, held.get(lease.job_id))

    def _judge(self, slot: "Slot", held: HeldJob | None) -> None:
        if held is None or held.attempt != slot.job.attempt:
            if slot.job.lease in self._worker.slots:
                self._worker.interrupt(slot, JobLost, "Another worker may hold the job.")
                self._cancel_task_late(slot)
        elif held.cancel_reason is not None:
            self._worker.interrupt(slot, JobCancelled, held.cancel_reason)
            self._cancel_task_late(slot)
            if slot.age_of_interruption() > CANCEL_FOR_GOOD_AFTER:
                with suppress(JobLost):  # it ended just now
                    leases.cancel(slot.job.lease, held.cancel_reason)

    def _cancel_task_late(self, slot: "Slot") -> None:
        if slot.age_of_interruption() > CANCEL_TASK_AFTER:
            self._worker.cancel_task(slot)

    def _rescue(self) -> None:
        now = monotonic()
        every = min(5.0, settings.JOB_HEARTBEAT_SECONDS)
        if now < self._no_rescue_before or now - self._rescued_at < every:
            return
        self._rescued_at = now
        rescued = leases.rescue_expired()
        for job in rescued:
            logger.warning("job %s %s rescued from a dead worker, now %s", job.short_id, job.kind, job.status)
        if rescued:
            workers.sweep()
            self._worker.wake()

    def _watch_parent(self) -> None:
        if self._worker.parent_pid and os.getppid() != self._worker.parent_pid:
            self._worker.request_stop("the process that started it is gone")

    def _enforce_stop(self) -> None:
        asked = self._worker.stop_asked_at
        if asked is not None and monotonic() - asked > STOP_FOR_GOOD_AFTER:
            release_all(list(self._worker.slots.copy()))
            self._worker.exit_hard()

    def _database_is(self, *, away: bool, error: Exception | None = None) -> None:
        if away and not self._database_away:
            logger.warning("The database does not answer: %s", error)
        if not away and self._database_away:
            logger.info("The database answers again")
        self._database_away = away


def release_all(held: list[leases.Lease]) -> None:
    """Give jobs back whose handlers do not end; what fails here is rescued when the lease runs out."""
    for lease in held:
        try:
            leases.release(lease)
        except (JobLost, DatabaseError, InterfaceError) as error:
            logger.warning("job %s could not be given back: %s", lease.job_id, error)


def use_own_connection() -> None:
    """Give this thread a connection outside of the pool, which handlers may use up."""
    own = connections.create_connection(DEFAULT_DB_ALIAS)
    options = {key: value for key, value in own.settings_dict["OPTIONS"].items() if key != "pool"}
    own.settings_dict = own.settings_dict | {"OPTIONS": options}
    connections[DEFAULT_DB_ALIAS] = own
