"""What workers do to job rows: claim, renew, end, give back, rescue. Every write of an attempt is fenced.

The fence is (id, attempt, worker, running): once another worker holds the job, its predecessor's writes raise
`JobLost`.
Leases are compared by the database's clock, so that workers on machines with different clocks agree.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from collections_admin.jobs import events, notices
from collections_admin.jobs.errors import JobLost
from collections_admin.jobs.plain import plain_text
from collections_admin.models.jobs import AttemptOutcome, Job, JobAttempt, JobLog, JobStatus

DEATHS_TO_QUARANTINE = 3
LONGEST_BACKOFF = 600  # seconds
RESCUE_BATCH = 100
TENANT_DEACTIVATED = "The tenant was deactivated."


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """One attempt's right to write its job."""

    job_id: UUID
    attempt: int
    worker: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldJob:
    """How a job that a worker holds looks in the database; `cancel_reason` is None unless it is to stop."""

    attempt: int
    cancel_reason: str | None


def claim(worker: UUID, worker_name: str, limit: int) -> list[Job]:
    due = Job.objects.filter(status=JobStatus.QUEUED, run_after__lte=timezone.now())
    if not due.exists():  # an idle worker must not take SQLite's write lock twice a second
        return []
    with transaction.atomic():
        order = due.order_by("-priority", "queued_at", "id")
        ids = list(order.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        now = timezone.now()
        Job.objects.filter(pk__in=ids).update(
            status=JobStatus.RUNNING,
            worker=worker,
            attempt=F("attempt") + 1,
            lease_until=_lease_end(),
            heartbeat_at=now,
            started_at=now,
            finished_at=None,
            updated_at=now,
            version=F("version") + 1,
        )
        claimed = Job.objects.filter(pk__in=ids).select_related("tenant")
        jobs = list(claimed.order_by("-priority", "queued_at", "id"))
        JobAttempt.objects.bulk_create(_attempt_of(job, worker_name) for job in jobs)
        notices.announce(ids)
        return [job for job in jobs if not _stopped_with_tenant(job)]


def held(lease: Lease) -> models.QuerySet[Job]:
    return Job.objects.filter(pk=lease.job_id, attempt=lease.attempt, worker=lease.worker, status=JobStatus.RUNNING)


def lock(lease: Lease) -> Job:
    """Inside a transaction: nobody can take the job over until it ends. Raises `JobLost`."""
    job = held(lease).select_for_update().first()
    if job is None:
        raise JobLost(f"Attempt {lease.attempt} of job {lease.job_id} no longer holds it.")
    return job


def confirm(lease: Lease) -> None:
    """Raises `JobLost`."""
    if not held(lease).exists():
        raise JobLost(f"Attempt {lease.attempt} of job {lease.job_id} no longer holds it.")


def write(lease: Lease, *, log: Collection[JobLog] = (), **values: Any) -> None:
    """Change fields of the job and append to its log. Raises `JobLost`."""
    with transaction.atomic():
        changes = {"version": F("version") + 1, "updated_at": timezone.now(), **values}
        if not held(lease).update(**changes):
            raise JobLost(f"Attempt {lease.attempt} of job {lease.job_id} no longer holds it.")
        JobLog.objects.bulk_create(log)
        notices.announce([lease.job_id])


def renew(worker: UUID, job_ids: Collection[UUID]) -> None:
    Job.objects.filter(pk__in=job_ids, worker=worker, status=JobStatus.RUNNING).update(
        lease_until=_lease_end(), heartbeat_at=timezone.now()
    )


def look(worker: UUID, job_ids: Collection[UUID]) -> dict[UUID, HeldJob]:
    """The jobs of `job_ids` that the worker still holds."""
    rows = Job.objects.filter(pk__in=job_ids, worker=worker, status=JobStatus.RUNNING)
    values = rows.values_list("pk", "attempt", "cancel_requested_at", "tenant__is_active")
    return {
        pk: HeldJob(attempt=attempt, cancel_reason=_cancel_reason(asked, tenant_active))
        for pk, attempt, asked, tenant_active in values
    }


def succeed(lease: Lease, result: dict[str, Any] | None) -> None:
    with transaction.atomic():
        job = lock(lease)
        job.result = result
        _settle(job, JobStatus.SUCCEEDED, AttemptOutcome.SUCCEEDED)


def fail(
    lease: Lease,
    *,
    error: str,
    traceback: str = "",
    permanent: bool = False,
    backoff: float = 5,
    wait: float = 0,
) -> Job:
    """Queue the job again, or end it when the failure is permanent or was the last allowed.

    `backoff` seconds are doubled by each failure before; `wait` is what an outside system asked for.
    """
    with transaction.atomic():
        job = lock(lease)
        job.failures += 1
        job.error, job.traceback = plain_text(error, 500), plain_text(traceback, 20_000)
        if job.cancel_requested_at:
            _settle(job, JobStatus.CANCELLED, AttemptOutcome.FAILED)
        elif permanent or job.failures >= job.max_attempts:
            _settle(job, JobStatus.FAILED, AttemptOutcome.FAILED)
        else:
            _settle(job, JobStatus.QUEUED, AttemptOutcome.FAILED, delay=_delay(job.failures, backoff, wait))
    return job


def cancel(lease: Lease, reason: str = "") -> None:
    with transaction.atomic():
        job = lock(lease)
        job.error, job.traceback = reason, ""
        _settle(job, JobStatus.CANCELLED, AttemptOutcome.CANCELLED)


def release(lease: Lease) -> None:
    """Back to the queue, not counted as a failure."""
    with transaction.atomic():
        job = lock(lease)
        status = JobStatus.CANCELLED if job.cancel_requested_at else JobStatus.QUEUED
        _settle(job, status, AttemptOutcome.RELEASED)


def rescue_expired() -> list[Job]:
    """Take jobs from workers that stopped renewing: back to the queue, or put aside after three deaths."""
    if not _expired().exists():
        return []
    with transaction.atomic():
        jobs = list(_expired().order_by("lease_until").select_for_update(skip_locked=True)[:RESCUE_BATCH])
        for job in jobs:
            _rescue(job)
    return jobs


def settle_unstarted(job: Job, status: str) -> None:
    """End a job that no worker holds, inside a transaction that has locked its row."""
    _settle(job, status, None)


def _rescue(job: Job) -> None:
    job.deaths += 1
    if job.cancel_requested_at:
        _settle(job, JobStatus.CANCELLED, AttemptOutcome.DIED)
    elif job.deaths >= DEATHS_TO_QUARANTINE:
        job.is_quarantined = True
        job.error = f"Its worker died {job.deaths} times while running it; it is put aside until someone retries it."
        _settle(job, JobStatus.FAILED, AttemptOutcome.DIED)
    else:
        job.error = "Its worker died; another one takes it over."
        _settle(job, JobStatus.QUEUED, AttemptOutcome.DIED)


def _settle(job: Job, status: str, outcome: str | None, *, delay: float = 0) -> None:
    """Take the job out of its worker's hands; `outcome` closes its attempt."""
    now = timezone.now()
    attempt = JobAttempt.objects.filter(job=job, number=job.attempt)
    if outcome:
        attempt.update(finished_at=now, outcome=outcome, **_attempt_error(job, outcome))
    if status == JobStatus.SUCCEEDED:
        job.error = job.traceback = ""
    if status == JobStatus.QUEUED:
        job.queued_at, job.run_after = now, now + timedelta(seconds=delay)
    else:
        job.finished_at = now
    job.status, job.updated_at, job.version = status, now, job.version + 1
    job.worker = job.lease_until = job.heartbeat_at = None
    job.save()
    notices.announce([job.pk])
    if status == JobStatus.QUEUED:
        notices.wake_workers()
    else:
        events.publish_on_commit(job)


def _attempt_error(job: Job, outcome: str) -> dict[str, str]:
    if outcome == AttemptOutcome.DIED:
        return {"error": "Its worker died."}
    if outcome == AttemptOutcome.FAILED:
        return {"error": job.error, "traceback": job.traceback}
    return {"error": job.error if outcome == AttemptOutcome.CANCELLED else ""}


def _expired() -> models.QuerySet[Job]:
    return Job.objects.filter(status=JobStatus.RUNNING, lease_until__lt=Now())


def _lease_end() -> models.Expression:
    return Now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)


def _attempt_of(job: Job, worker_name: str) -> JobAttempt:
    return JobAttempt(
        job=job,
        number=job.attempt,
        worker_name=worker_name,
        queued_at=max(job.queued_at, job.run_after),
        started_at=job.started_at,
    )


def _stopped_with_tenant(job: Job) -> bool:
    if job.tenant is None or job.tenant.is_active:
        return False
    job.error = TENANT_DEACTIVATED
    _settle(job, JobStatus.CANCELLED, AttemptOutcome.CANCELLED)
    return True


def _cancel_reason(asked: object, tenant_active: bool | None) -> str | None:  # noqa: FBT001 - a column
    if asked:
        return ""
    return TENANT_DEACTIVATED if tenant_active is False else None


def _delay(failures: int, backoff: float, wait: float) -> float:
    doubled = min(backoff * 2 ** min(failures - 1, 20), LONGEST_BACKOFF)
    jittered = doubled * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, guards nothing
    return max(jittered, wait)
