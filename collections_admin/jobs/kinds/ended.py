"""Documents whose job will not come back say so: none stays "pending" or "indexing" without anybody at work."""

from uuid import UUID

from django.db import models, transaction

from collections_admin.jobs.events import JobFinished, subscribe
from collections_admin.models import Document, DocumentStatus, Job, JobStatus
from collections_admin.models.jobs import OPEN_STATUSES

INGESTING = frozenset({"ingest", "archive", "restore", "import"})
UNFINISHED = (DocumentStatus.PENDING, DocumentStatus.INDEXING)


@subscribe
def release_documents(event: JobFinished) -> None:
    if event.collection_id is None:
        return
    if event.kind in INGESTING:
        with transaction.atomic():
            _fail_left_over(event)
    elif event.kind == "delete_documents" and event.status != JobStatus.SUCCEEDED:
        _say_not_deleted(event)


def _fail_left_over(event: JobFinished) -> None:
    """Also after a success: a job cancelled meanwhile left alone what could have been this one's."""
    job = Job.objects.get(pk=event.job_id)
    if "documents" in job.parameters and event.status == JobStatus.SUCCEEDED:
        return
    open_jobs = Job.objects.filter(collection_id=event.collection_id, kind__in=INGESTING, status__in=OPEN_STATUSES)
    others = list(open_jobs.exclude(pk=job.pk).values_list("parameters", flat=True))
    if "documents" not in job.parameters and any("documents" not in parameters for parameters in others):
        return
    claimed = [pk for parameters in others for pk in parameters.get("documents", [])]
    rows = Document.objects.filter(collection_id=event.collection_id, status__in=UNFINISHED)
    rows.filter(_chosen(job)).exclude(pk__in=claimed).update(status=DocumentStatus.FAILED, error=_sentence(event))


def _chosen(job: Job) -> models.Q:
    ids = job.parameters.get("documents")
    return models.Q(pk__in=[UUID(text) for text in ids]) if ids is not None else models.Q()


def _sentence(event: JobFinished) -> str:
    if event.status == JobStatus.CANCELLED:
        return f"Its job was cancelled. {event.error}".strip()
    return event.error or "Its job ended without it. Ingest it again."


def _say_not_deleted(event: JobFinished) -> None:
    parameters = Job.objects.values_list("parameters", flat=True).get(pk=event.job_id)
    ids = [UUID(text) for text in parameters.get("documents", [])]
    Document.objects.filter(pk__in=ids, deleted_at__isnull=False).update(
        error=f"It could not be deleted: {_sentence(event)}"
    )
