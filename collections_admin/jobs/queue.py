"""What the rest of the console does with jobs: enqueue, cancel, retry."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from collections_admin.concurrency import in_transaction
from collections_admin.errors import Conflict, NotFound
from collections_admin.jobs import leases, notices
from collections_admin.jobs.plain import plain_json, plain_text
from collections_admin.jobs.registry import find_kind
from collections_admin.models.collections import TenantCollection
from collections_admin.models.documents import Document
from collections_admin.models.jobs import OPEN_STATUSES, Job, JobAction, JobStatus
from collections_admin.models.tenants import Tenant
from collections_admin.models.users import User


def add_job(
    kind: str,
    *,
    tenant: Tenant | None = None,
    collection: TenantCollection | None = None,
    document: Document | None = None,
    subject: str = "",
    parameters: dict[str, Any] | None = None,
    created_by: User | None = None,
    unique_key: str | None = None,
    run_after: datetime | None = None,
    max_attempts: int | None = None,
    priority: int = 0,
) -> Job:
    """Enqueue within the caller's transaction; workers see the job once it commits.

    While a job with the same `unique_key` is queued or running, that one is returned instead; it may have
    begun with what was true before, so put what matters (a document's rev) into the key. Raises LookupError
    for unknown kinds.
    """
    known = find_kind(kind)
    if known is None:
        raise LookupError(f"There is no job kind {kind!r}.")
    _same_tenant(tenant, collection, document)
    job = Job(
        kind=kind,
        tenant=tenant,
        collection=collection,
        document=document,
        subject=plain_text(subject, 200),
        parameters=plain_json(parameters or {}),
        created_by=created_by,
        unique_key=unique_key,
        run_after=run_after or timezone.now(),
        max_attempts=max_attempts or known.max_attempts,
        priority=priority,
    )
    return _insert(job)


enqueue = in_transaction(add_job)


@in_transaction
def cancel_job(job_id: UUID, *, tenant_id: int | None) -> Job:
    """A queued job ends at once, a running one within 5 s. Raises `NotFound` or `Conflict`."""
    job = _locked(job_id, tenant_id)
    _demand(job, JobAction.CANCEL)
    if job.status == JobStatus.QUEUED:
        leases.settle_unstarted(job, JobStatus.CANCELLED)
    elif job.cancel_requested_at is None:
        job.cancel_requested_at = timezone.now()
        _save(job)
    return job


@in_transaction
def retry_job(job_id: UUID, *, tenant_id: int | None) -> Job:
    """Queue a failed or cancelled job again, with all its attempts. Raises `NotFound` or `Conflict`."""
    job = _locked(job_id, tenant_id)
    _demand(job, JobAction.RETRY)
    job.status = JobStatus.QUEUED
    job.failures = job.deaths = 0
    job.is_quarantined = False
    job.cancel_requested_at = job.started_at = job.finished_at = None
    job.error = job.traceback = ""
    job.queued_at = job.run_after = timezone.now()
    try:
        with transaction.atomic():
            _save(job)
    except IntegrityError:
        raise Conflict("The same work is already waiting or running in another job.") from None
    notices.wake_workers()
    return job


def _insert(job: Job) -> Job:
    live = Job.objects.filter(unique_key=job.unique_key, status__in=OPEN_STATUSES)
    for _ in range(5):  # the other job may end between the two statements
        try:
            with transaction.atomic():
                job.save(force_insert=True)
        except IntegrityError:
            if job.unique_key is None:
                raise
            existing = live.first()
            if existing is not None:
                return existing
        else:
            notices.announce([job.pk])
            notices.wake_workers()
            return job
    raise Conflict("The same work was started at this moment by someone else; try again.")


def _same_tenant(tenant: Tenant | None, *others: TenantCollection | Document | None) -> None:
    for other in others:
        if other is not None and (tenant is None or other.tenant_id != tenant.pk):
            raise ValueError(f"{other!r} does not belong to the tenant of the job.")


def _locked(job_id: UUID, tenant_id: int | None) -> Job:
    job = Job.objects.select_for_update().filter(pk=job_id, tenant_id=tenant_id).first()
    if job is None:
        raise NotFound
    return job


def _demand(job: Job, action: JobAction) -> None:
    if action not in job.actions:
        raise Conflict(f"{action.label} is not possible: the job is {job.get_status_display().lower()}.")


def _save(job: Job) -> None:
    job.version += 1
    job.updated_at = timezone.now()
    job.save()
    notices.announce([job.pk])
