import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from collections_admin.errors import Conflict, NotFound
from collections_admin.jobs import leases
from collections_admin.jobs.queue import add_job, cancel_job, enqueue, retry_job
from collections_admin.models import Job
from collections_admin.models.jobs import JOB_ACTIONS, JobStatus
from tests.factories import CollectionFactory, DocumentFactory, TenantFactory, make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_closed_at_the_end")]


async def test_a_job_keeps_what_it_is_about() -> None:
    document = await make(DocumentFactory)
    job = await enqueue(
        "test_quick",
        tenant=document.tenant,
        collection=document.collection,
        document=document,
        subject="a\x00b",
        parameters={"text": "lone \ud800", "number": float("nan")},
    )
    await job.arefresh_from_db()
    assert (job.status, job.tenant_id, job.document_id) == ("queued", document.tenant_id, document.pk)
    assert job.subject == "a\ufffdb"
    assert job.parameters == {"text": "lone ?", "number": None}


async def test_objects_of_another_tenant_are_refused() -> None:
    tenant, foreign = await make(TenantFactory), await make(CollectionFactory)
    with pytest.raises(ValueError, match="does not belong"):
        await enqueue("test_quick", tenant=tenant, collection=foreign)
    with pytest.raises(ValueError, match="does not belong"):
        await enqueue("test_quick", collection=foreign)
    assert not await Job.objects.aexists()


async def test_an_unknown_kind_cannot_be_enqueued() -> None:
    with pytest.raises(LookupError, match="no_such_kind"):
        await enqueue("no_such_kind")


async def test_a_double_click_enqueues_once() -> None:
    jobs = await asyncio.gather(*(enqueue("test_quick", unique_key="one") for _ in range(8)))
    assert len({job.pk for job in jobs}) == 1
    assert await Job.objects.acount() == 1


def test_double_clicks_at_the_same_moment_enqueue_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connections

    def click() -> object:
        try:
            return add_job("test_quick", unique_key="one").pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        ids = {future.result() for future in [threads.submit(click) for _ in range(16)]}
    assert len(ids) == Job.objects.count() == 1


async def test_a_unique_key_is_free_again_when_its_job_has_ended() -> None:
    first = await enqueue("test_quick", unique_key="one")
    await cancel_job(first.pk, tenant_id=None)
    second = await enqueue("test_quick", unique_key="one")
    assert second.pk != first.pk
    with pytest.raises(Conflict, match="already waiting"):
        await retry_job(first.pk, tenant_id=None)
    assert (await Job.objects.aget(pk=first.pk)).status == "cancelled"


async def test_a_rolled_back_transaction_enqueues_nothing() -> None:
    def undone() -> None:
        with transaction.atomic():
            add_job("test_quick")
            transaction.set_rollback(True)

    await sync_to_async(undone)()
    assert not await Job.objects.aexists()


async def test_a_queued_job_is_cancelled_at_once_and_can_be_retried() -> None:
    job = await enqueue("test_quick")
    assert (await cancel_job(job.pk, tenant_id=None)).status == "cancelled"
    with pytest.raises(Conflict, match="Cancel is not possible: the job is cancelled"):
        await cancel_job(job.pk, tenant_id=None)
    assert (await retry_job(job.pk, tenant_id=None)).status == "queued"
    with pytest.raises(Conflict, match="Retry is not possible"):
        await retry_job(job.pk, tenant_id=None)


async def test_jobs_of_another_tenant_are_not_found() -> None:
    mine, other = await make(TenantFactory), await make(TenantFactory)
    job = await enqueue("test_quick", tenant=mine)
    for tenant_id in (other.pk, None):
        with pytest.raises(NotFound):
            await cancel_job(job.pk, tenant_id=tenant_id)
    with pytest.raises(NotFound):
        await retry_job(uuid4(), tenant_id=mine.pk)


async def test_a_retry_gives_all_attempts_back() -> None:
    job = await enqueue("test_quick")
    await Job.objects.aupdate(status="failed", failures=3, deaths=3, attempt=6, is_quarantined=True, error="x")
    job = await retry_job(job.pk, tenant_id=None)
    assert (job.failures, job.deaths, job.is_quarantined, job.error) == (0, 0, False, "")
    assert job.attempt == 6  # the token never goes back


def test_every_state_says_what_can_be_done_with_it() -> None:
    assert set(JOB_ACTIONS) == set(JobStatus)


def test_jobs_are_claimed_by_priority_and_then_in_order() -> None:
    names = ["first", "second", "urgent"]
    for name in names:
        add_job("test_quick", subject=name, priority=int(name == "urgent"))
    claimed = leases.claim(uuid4(), "w", 2)
    assert [job.subject for job in claimed] == ["urgent", "first"]


def test_a_job_waits_for_its_time() -> None:
    add_job("test_quick", run_after=timezone.now() + timedelta(hours=1))
    assert leases.claim(uuid4(), "w", 5) == []
    Job.objects.update(run_after=timezone.now() - timedelta(seconds=1))
    assert len(leases.claim(uuid4(), "w", 5)) == 1


def test_the_jobs_of_a_deactivated_tenant_are_cancelled_instead_of_started() -> None:
    tenant = TenantFactory(is_active=False)
    job = add_job("test_quick", tenant=tenant)
    assert leases.claim(uuid4(), "w", 5) == []
    job.refresh_from_db()
    assert (job.status, job.error) == ("cancelled", "The tenant was deactivated.")
