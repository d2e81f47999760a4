from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from collections_admin.jobs.queue import add_job
from collections_admin.models import Job, JobLog, JobStatus, Role
from tests.factories import CollectionFactory, TenantFactory, make, member

Browser = Callable[..., Awaitable[AsyncClient]]
HTMX = {"HX-Request": "true"}


def jobs_of(count: int) -> Any:
    """A tenant with that many jobs, the newest first by a minute each."""
    collection = CollectionFactory()
    for number in range(count):
        job = add_job("ingest", tenant=collection.tenant, collection=collection, subject=f"job {number:03}")
        Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=number))
    return collection.tenant


def list_of(tenant: Any, query: str = "") -> str:
    return reverse("job-list", args=[tenant.pk]) + query


async def test_the_list_shows_jobs_newest_first_and_goes_on(client_for: Browser) -> None:
    tenant = await make(jobs_of, 53)
    client = await client_for(await make(member, tenant, Role.VIEWER))
    first = (await client.get(list_of(tenant))).content.decode()
    assert first.index("job 000") < first.index("job 001") < first.index("job 049")
    assert "job 050" not in first
    cursor = await Job.objects.aget(subject="job 049")
    older = await client.get(list_of(tenant), {"before": f"{cursor.created_at.isoformat()}_{cursor.pk}"})
    text = older.content.decode()
    assert "job 049" not in text
    assert all(f"job {number:03}" in text for number in (50, 51, 52))
    assert "data-live-url" not in text, "an older page must not jump"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?status=lost", "status must be one of"),
        ("?kind=nothing", "kind must be one of"),
        ("?table=%00", "table must be"),
        ("?before=yesterday", "before is not a place"),
        ("?before=2026-01-01T00:00:00_x", "before is not a place"),
        ("?before=%ED%A0%80", "before is not a place"),
        (f"?before=0001-01-01T00:00:00%2B14:00_{UUID(int=1)}", "before is not a place"),
        (f"?before=9999-12-31T23:59:59-14:00_{UUID(int=1)}", "before is not a place"),
    ],
)
async def test_a_bad_filter_is_answered_in_words(client_for: Browser, query: str, said: str) -> None:
    tenant = await make(TenantFactory)
    client = await client_for(await make(member, tenant, Role.VIEWER))
    answer = await client.get(list_of(tenant, query))
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert "Clear filters" in answer.content.decode()


async def test_filters_narrow_the_list(client_for: Browser) -> None:
    tenant = await make(jobs_of, 3)
    await Job.objects.filter(subject="job 001").aupdate(status=JobStatus.FAILED, finished_at=timezone.now())
    client = await client_for(await make(member, tenant, Role.VIEWER))
    text = (await client.get(list_of(tenant, "?status=failed"), headers=HTMX)).content.decode()
    assert "job 001" in text
    assert "job 000" not in text
    none = (await client.get(list_of(tenant, "?table=users"))).content.decode()
    assert "No job matches" in none


async def test_the_fragment_is_part_of_the_page(client_for: Browser) -> None:
    tenant = await make(jobs_of, 1)
    job = await Job.objects.aget()
    await Job.objects.filter(pk=job.pk).aupdate(status=JobStatus.FAILED, finished_at=timezone.now(), error="No luck.")
    client = await client_for(await make(member, tenant, Role.OPERATOR))
    url = reverse("job-detail", args=[tenant.pk, job.pk])
    page = (await client.get(url)).content.decode()
    fragment = (await client.get(url, headers={"HX-Request": "true", "HX-Target": "job"})).content.decode()
    assert fragment.startswith('<div id="job"')
    assert "<html" not in fragment
    assert "No luck." in fragment
    assert "No luck." in page


async def test_a_job_shows_its_log_without_running_it(client_for: Browser) -> None:
    tenant = await make(jobs_of, 1)
    job = await Job.objects.aget()
    await JobLog.objects.acreate(job=job, attempt=1, message="<script>alert(1)</script>", at=timezone.now())
    client = await client_for(await make(member, tenant, Role.VIEWER))
    text = (await client.get(reverse("job-detail", args=[tenant.pk, job.pk]))).content.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


async def test_what_a_job_does_is_told_only_while_it_is_open(client_for: Browser) -> None:
    tenant = await make(jobs_of, 1)
    job = await Job.objects.aget(tenant=tenant)
    client = await client_for(await make(member, tenant, Role.VIEWER))
    pages = (list_of(tenant), reverse("job-detail", args=[tenant.pk, job.pk]))
    for status, told in ((JobStatus.RUNNING, True), (JobStatus.SUCCEEDED, False)):
        await Job.objects.filter(pk=job.pk).aupdate(
            status=status,
            progress_done=1,
            progress_message="35 chunks/s",
            started_at=timezone.now(),
            finished_at=None if told else timezone.now(),
            lease_until=timezone.now() if told else None,
        )
        for page in pages:
            assert ("35 chunks/s" in (await client.get(page)).content.decode()) is told, (status, page)


async def test_a_queued_job_is_cancelled_and_can_be_retried(client_for: Browser) -> None:
    tenant = await make(jobs_of, 1)
    job = await Job.objects.aget()
    client = await client_for(await make(member, tenant, Role.OPERATOR))
    place = reverse("job-detail", args=[tenant.pk, job.pk])
    answer = await client.post(reverse("job-cancel", args=[tenant.pk, job.pk]))
    assert (answer.status_code, answer["Location"]) == (302, place)
    await job.arefresh_from_db()
    assert job.status == JobStatus.CANCELLED
    again = await client.post(reverse("job-cancel", args=[tenant.pk, job.pk]))
    assert again.status_code == 409
    await client.post(reverse("job-retry", args=[tenant.pk, job.pk]))
    await job.arefresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert (await client.post(reverse("job-retry", args=[tenant.pk, job.pk]))).status_code == 409


async def test_an_empty_list_says_what_to_do(client_for: Browser) -> None:
    tenant = await make(TenantFactory)
    client = await client_for(await make(member, tenant, Role.OPERATOR))
    assert "Add documents" in (await client.get(list_of(tenant))).content.decode()
