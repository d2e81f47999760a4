"""Jobs as the pages show them: a page of the list, and one job with its attempts and log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.datastructures import MultiValueDict
from django.utils.dateparse import parse_datetime

from collections_admin.concurrency import in_thread
from collections_admin.errors import InvalidInput, NotFound
from collections_admin.jobs.registry import find_kind, kind_choices, kind_label
from collections_admin.models.jobs import Job, JobAction, JobAttempt, JobLog, JobStatus

PAGE_ROWS = 50
LOG_LINES = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilters:
    """What the list shows, read from the address and written back into it."""

    status: str = ""
    kind: str = ""
    table: str = ""
    before: str = ""  # cursor: jobs older than "<created_at>_<id>"

    @classmethod
    def parse(cls, parameters: MultiValueDict) -> "JobFilters":
        """Raises `InvalidInput` naming the parameter."""
        status, kind = parameters.get("status", ""), parameters.get("kind", "")
        if status and status not in JobStatus.values:
            raise InvalidInput("status", f"status must be one of {', '.join(JobStatus.values)}.")
        if kind and find_kind(kind) is None:
            raise InvalidInput("kind", f"kind must be one of {', '.join(name for name, _ in kind_choices())}.")
        table = parameters.get("table", "")
        if len(table) > 63 or (not table.replace("_", "a").isalnum() and table):
            raise InvalidInput("table", "table must be the name of a table.")
        before = parameters.get("before", "")
        if before:
            _read_cursor(before)
        return cls(status=status, kind=kind, table=table, before=before)

    def narrow(self, jobs: QuerySet[Job]) -> QuerySet[Job]:
        exact = {"status": self.status, "kind": self.kind, "collection__table": self.table}
        jobs = jobs.filter(**{name: value for name, value in exact.items() if value})
        if self.before:
            at, job_id = _read_cursor(self.before)
            jobs = jobs.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=job_id))
        return jobs

    @property
    def is_narrowed(self) -> bool:
        return bool(self.status or self.kind or self.table)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    job: Job
    label: str
    table: str
    started_by: str

    @property
    def waited_ms(self) -> float:
        return self.job.queue_wait.total_seconds() * 1000

    @property
    def ran_ms(self) -> float | None:
        ran = self.job.run_time
        return ran.total_seconds() * 1000 if ran is not None else None

    @property
    def is_stopping(self) -> bool:
        return self.job.is_open and self.job.cancel_requested_at is not None

    @property
    def can_cancel(self) -> bool:
        return JobAction.CANCEL in self.job.actions and not self.is_stopping

    @property
    def can_retry(self) -> bool:
        return JobAction.RETRY in self.job.actions

    @property
    def tone(self) -> str:
        """The colour of its progress: a kind of notice."""
        return {JobStatus.SUCCEEDED: "ok", JobStatus.FAILED: "bad"}.get(self.job.status, "run")

    @property
    def note(self) -> str:
        """What it does at this moment: nothing once it has ended."""
        return self.job.progress_message if self.job.is_open else ""

    @property
    def percent(self) -> int | None:
        total = self.job.progress_total
        return min(100, 100 * self.job.progress_done // total) if total else None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPage:
    rows: list[JobRow]
    older: str  # cursor of the next page; empty at the end


@dataclass(frozen=True, kw_only=True, slots=True)
class JobDetail:
    row: JobRow
    attempts: list[JobAttempt]
    log: list[JobLog]
    log_is_cut: bool

    @property
    def job(self) -> Job:
        return self.row.job

    @property
    def facts(self) -> Mapping[str, Any]:
        return {name: value for name, value in (self.job.result or {}).items() if not isinstance(value, list | dict)}


@in_thread
def job_page(*, tenant_id: int, filters: JobFilters, rows: int = PAGE_ROWS) -> JobPage:
    """Newest first, by keyset: the place in the list stays right while jobs are added."""
    found = list(filters.narrow(_shown(tenant_id)).order_by("-created_at", "-id")[: rows + 1])
    older = _write_cursor(found[rows - 1]) if len(found) > rows else ""
    return JobPage(rows=[job_row(job) for job in found[:rows]], older=older)


@in_thread
def job_detail(job_id: UUID, *, tenant_id: int) -> JobDetail:
    """Raises `NotFound`, also for a job of another tenant."""
    job = _shown(tenant_id).filter(pk=job_id).first()
    if job is None:
        raise NotFound
    log = list(job.log_lines.order_by("-id")[: LOG_LINES + 1])
    return JobDetail(
        row=job_row(job),
        attempts=list(job.attempts.order_by("-number")[:20]),
        log=log[LOG_LINES - 1 :: -1] if len(log) > LOG_LINES else log[::-1],
        log_is_cut=len(log) > LOG_LINES,
    )


def _shown(tenant_id: int) -> QuerySet[Job]:
    return Job.objects.filter(tenant_id=tenant_id).select_related("collection", "created_by")


def job_row(job: Job) -> JobRow:
    return JobRow(
        job=job,
        label=kind_label(job.kind),
        table=job.collection.table if job.collection else "",
        started_by=job.created_by.email if job.created_by else "",
    )


def _write_cursor(job: Job) -> str:
    return f"{job.created_at.isoformat()}_{job.id}"


def _read_cursor(text: str) -> tuple[datetime, UUID]:
    at, _, job_id = text.partition("_")
    try:
        moment, last = parse_datetime(at.replace(" ", "+")), UUID(job_id)
    except ValueError:
        moment, last = None, None
    if moment is None or moment.tzinfo is None or not 1 < moment.year < 9999:  # in UTC it may be no year any more
        raise InvalidInput("before", "before is not a place in this list; open the list from its start.")
    return moment, last
