"""The end of a job as an event: subscribed functions are called after the commit that ended it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from collections_admin.models.jobs import Job

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFinished:
    """Durations in seconds; `run_time` is that of the last attempt, None when there was none."""

    job_id: UUID
    kind: str
    status: str
    tenant_id: int | None
    collection_id: int | None
    document_id: UUID | None
    attempt: int
    error: str
    queue_wait: float
    run_time: float | None


Subscriber = Callable[[JobFinished], None]
_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> Subscriber:
    """It runs in a database thread of the process that ended the job: the worker, or web for a cancel."""
    if subscriber not in _subscribers:
        _subscribers.append(subscriber)
    return subscriber


def unsubscribe(subscriber: Subscriber) -> None:
    _subscribers.remove(subscriber)


def publish_on_commit(job: Job) -> None:
    event = _finished(job)
    transaction.on_commit(lambda: _publish(event), robust=True)


def _publish(event: JobFinished) -> None:
    for subscriber in _subscribers:
        try:
            subscriber(event)
        except Exception:
            logger.exception("A listener failed on the end of job %s", event.job_id)


def _finished(job: Job) -> JobFinished:
    run_time = job.run_time
    return JobFinished(
        job_id=job.pk,
        kind=job.kind,
        status=job.status,
        tenant_id=job.tenant_id,
        collection_id=job.collection_id,
        document_id=job.document_id,
        attempt=job.attempt,
        error=job.error,
        queue_wait=job.queue_wait.total_seconds(),
        run_time=run_time.total_seconds() if run_time is not None else None,
    )
