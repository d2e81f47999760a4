import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone


class JobStatus(models.TextChoices):
    QUEUED = "queued", "Queued"  # waits for a worker, or for `run_after`
    RUNNING = "running", "Running"  # held by a worker until `lease_until`
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"  # `error` says why; `is_quarantined` when its workers died
    CANCELLED = "cancelled", "Cancelled"  # by a person, or because its tenant was deactivated


OPEN_STATUSES = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
FINAL_STATUSES = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


class JobAction(models.TextChoices):
    CANCEL = "cancel", "Cancel"
    RETRY = "retry", "Retry"


# What a person may do with a job in each state; buttons and the queue both ask this table.
JOB_ACTIONS: dict[str, frozenset[JobAction]] = {
    JobStatus.QUEUED: frozenset({JobAction.CANCEL}),
    JobStatus.RUNNING: frozenset({JobAction.CANCEL}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobAction.RETRY}),
    JobStatus.CANCELLED: frozenset({JobAction.RETRY}),
}


class Job(models.Model):
    """One unit of work for the workers; rows are changed by `collections_admin.jobs` alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)  # random: tells nothing of others
    tenant = models.ForeignKey("collections_admin.Tenant", models.CASCADE, null=True, blank=True, related_name="jobs")
    collection = models.ForeignKey(
        "collections_admin.TenantCollection", models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    document = models.ForeignKey(
        "collections_admin.Document", models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=60)
    subject = models.CharField(max_length=200, blank=True)  # what it is about, for people: a title, a table
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    priority = models.SmallIntegerField(default=0)  # higher first
    unique_key = models.CharField(max_length=200, null=True, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    result = models.JSONField(null=True, blank=True)
    saved_state = models.JSONField(default=dict, blank=True)  # where a next attempt goes on

    progress_done = models.PositiveBigIntegerField(default=0)
    progress_total = models.PositiveBigIntegerField(null=True, blank=True)
    progress_unit = models.CharField(max_length=30, blank=True)
    progress_message = models.CharField(max_length=200, blank=True)

    # Raised by each claim: with `worker` the token that keeps a rescued predecessor from writing.
    attempt = models.PositiveIntegerField(default=0)
    worker = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)  # attempts that ended with an error
    max_attempts = models.PositiveIntegerField(default=3)
    deaths = models.PositiveIntegerField(default=0)  # attempts whose worker vanished
    is_quarantined = models.BooleanField(default=False)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    run_after = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)  # of the latest attempt
    finished_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now)
    version = models.PositiveBigIntegerField(default=1)  # raised by each update; orders messages to browsers
    error = models.CharField(max_length=500, blank=True)  # one sentence for people
    traceback = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["unique_key"],
                condition=models.Q(status__in=["queued", "running"]),
                name="job_live_once",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-priority", "queued_at", "id"], name="job_to_claim"),
            models.Index(fields=["status", "lease_until"], name="job_leases"),
            models.Index(fields=["worker", "status"], name="job_of_worker"),
            models.Index(fields=["tenant", "-created_at", "-id"], name="job_by_tenant"),
            models.Index(fields=["tenant", "status", "-created_at", "-id"], name="job_by_tenant_status"),
            models.Index(fields=["updated_at"], name="job_changes"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.short_id}"

    @property
    def short_id(self) -> str:
        return str(self.id)[:8]

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def actions(self) -> frozenset[JobAction]:
        return JOB_ACTIONS[self.status]

    @property
    def queue_wait(self) -> timedelta:
        """From the moment it could have started until it did, or until now."""
        started = self.started_at if self.status != JobStatus.QUEUED else None
        end = started or self.finished_at or timezone.now()
        return max(end - max(self.queued_at, self.run_after), timedelta())

    @property
    def run_time(self) -> timedelta | None:
        """Of the latest attempt; of one that runs, until now; None before the first."""
        if self.started_at is None or self.status == JobStatus.QUEUED:
            return None
        return max((self.finished_at or timezone.now()) - self.started_at, timedelta())


class AttemptOutcome(models.TextChoices):
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    RELEASED = "released", "Released"  # its worker was stopped and gave the job back
    DIED = "died", "Died"  # its worker vanished


class JobAttempt(models.Model):
    job = models.ForeignKey(Job, models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    worker_name = models.CharField(max_length=120, blank=True)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=AttemptOutcome, default=AttemptOutcome.RUNNING)
    error = models.CharField(max_length=500, blank=True)
    traceback = models.TextField(blank=True)

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_attempt_once")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"


class LogLevel(models.TextChoices):
    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"


class JobLog(models.Model):
    """A line of a job's own log; `collections_admin.jobs.context` caps their number per attempt."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="log_lines")
    attempt = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=10, choices=LogLevel, default=LogLevel.INFO)
    message = models.CharField(max_length=2000)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.message


class Worker(models.Model):
    """A worker process that is alive, or was until `heartbeat_at`; removed by a clean stop."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    concurrency = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    is_stopping = models.BooleanField(default=False)

    class Meta:
        ordering = ["started_at"]

    def __str__(self) -> str:
        return self.name
