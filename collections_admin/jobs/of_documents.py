"""Jobs of documents, for their pages: what is at work now, and what was."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from collections_admin.concurrency import in_thread
from collections_admin.jobs.listing import JobRow, job_row
from collections_admin.models import Job
from collections_admin.models.jobs import OPEN_STATUSES

KINDS = ("ingest", "import", "archive", "restore", "delete_documents")
SHOWN_OPEN = 4
SHOWN_PAST = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenJobs:
    """The oldest open jobs, and how many there are beyond them."""

    rows: list[JobRow]
    more: int


@in_thread
def open_jobs(tenant_id: int) -> OpenJobs:
    jobs = _jobs(tenant_id).filter(status__in=OPEN_STATUSES).order_by("-status", "created_at", "id")
    found = list(jobs[: SHOWN_OPEN + 1])
    more = jobs.count() - SHOWN_OPEN if len(found) > SHOWN_OPEN else 0
    return OpenJobs(rows=[job_row(job) for job in found[:SHOWN_OPEN]], more=more)


@in_thread
def jobs_of_document(tenant_id: int, collection_id: int, document_id: UUID) -> list[JobRow]:
    """Newest first: its own jobs, and those that named it among others."""
    named = Q(document_id=document_id) | Q(named__contains=str(document_id))
    jobs = _jobs(tenant_id).filter(collection_id=collection_id).annotate(named=Cast("parameters", TextField()))
    return [job_row(job) for job in jobs.filter(named).order_by("-created_at", "-id")[:SHOWN_PAST]]


def _jobs(tenant_id: int) -> QuerySet[Job]:
    return Job.objects.filter(tenant_id=tenant_id, kind__in=KINDS).select_related("collection", "created_by")
