"""A worker inside the test process: what handlers see and how their endings are recorded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.utils import timezone

from collections_admin.jobs import registry
from collections_admin.jobs.context import LOG_LINES, RunningJob
from collections_admin.jobs.errors import JobLost, PermanentFailure
from collections_admin.jobs.queue import cancel_job, enqueue
from collections_admin.jobs.registry import job_kind
from collections_admin.jobs.worker import JobWorker
from collections_admin.models import Job, JobLog, Tenant, Worker
from tests.factories import TenantFactory, make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_closed_at_the_end")]


@pytest_asyncio.fixture
async def worker(transactional_db: None) -> AsyncIterator[JobWorker]:
    started = JobWorker(concurrency=2)
    task = asyncio.create_task(started.run())
    yield started
    started.request_stop()
    await task


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Registers a handler under the kind `test_own` for one test."""
    monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))
    return lambda function, **options: job_kind("test_own", label="Own", **options)(function)


async def ended(job: Job, *statuses: str) -> Job:
    """Wait until the job has one of the statuses, or a final one."""
    async with asyncio.timeout(30):
        while True:
            await job.arefresh_from_db()
            if job.status in (statuses or {"succeeded", "failed", "cancelled"}):
                return job
            await asyncio.sleep(0.03)


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.03)


async def test_a_job_runs_and_keeps_its_result(worker: JobWorker) -> None:
    job = await ended(await enqueue("test_steps", parameters={"steps": 3, "pause": 0.01}))
    assert (job.status, job.result, job.error) == ("succeeded", {"from": 0}, "")
    assert (job.progress_done, job.progress_total, job.progress_message) == (3, 3, "step 3")
    assert job.progress_unit == "steps"
    assert [line.message async for line in job.log_lines.all()] == ["all steps done"]
    attempt = await job.attempts.aget()
    assert (attempt.outcome, attempt.number) == ("succeeded", 1)
    assert job.queued_at <= job.started_at <= job.finished_at


async def test_a_failing_job_is_tried_three_times(worker: JobWorker) -> None:
    job = await ended(await enqueue("test_failing"))
    assert (job.status, job.failures, job.attempt) == ("failed", 3, 3)
    assert job.error == "RuntimeError: cannot \ufffd work ?"
    assert "tests/jobs/kinds.py" in job.traceback
    assert [attempt.outcome async for attempt in job.attempts.all()] == ["failed"] * 3


async def test_bad_input_is_not_tried_again_and_reads_as_it_was_written(worker: JobWorker) -> None:
    job = await ended(await enqueue("test_refused"))
    assert (job.status, job.failures, job.error) == ("failed", 1, "The file is encrypted.")


async def test_a_permanent_failure_ends_the_job(worker: JobWorker, handler: Callable) -> None:
    async def run(_: RunningJob) -> None:
        raise PermanentFailure("The collection is gone.")

    handler(run)
    job = await ended(await enqueue("test_own"))
    assert (job.status, job.failures, job.error) == ("failed", 1, "The collection is gone.")


async def test_an_unknown_kind_fails_with_a_sentence(worker: JobWorker) -> None:
    job = await ended(await Job.objects.acreate(kind="from_the_future"))
    assert job.status == "failed"
    assert job.error == "This worker does not know the job kind from_the_future."


async def test_a_job_that_takes_too_long_is_ended(worker: JobWorker) -> None:
    job = await ended(await enqueue("test_slow"))
    assert (job.status, job.error) == ("failed", "It took longer than its 0.2 s.")


async def test_a_result_that_is_no_json_fails_with_a_sentence(worker: JobWorker) -> None:
    job = await ended(await enqueue("test_odd_result"))
    assert job.status == "failed"
    assert "cannot be stored" in job.error


async def test_a_running_job_is_cancelled_at_its_next_checkpoint(worker: JobWorker) -> None:
    job = await enqueue("test_steps", parameters={"steps": 1000})
    await ended(job, "running")
    await cancel_job(job.pk, tenant_id=None)
    assert (await ended(job)).status == "cancelled"
    assert (await job.attempts.aget()).outcome == "cancelled"


async def test_deactivating_a_tenant_stops_its_running_jobs(worker: JobWorker) -> None:
    tenant = await make(TenantFactory)
    job = await enqueue("test_steps", tenant=tenant, parameters={"steps": 1000})
    await ended(job, "running")
    await Tenant.objects.aupdate(is_active=False)
    job = await ended(job)
    assert (job.status, job.error) == ("cancelled", "The tenant was deactivated.")


async def test_a_handler_can_clean_up_after_a_cancel(worker: JobWorker, handler: Callable) -> None:
    cleaned = []

    async def run(job: RunningJob) -> None:
        try:
            await asyncio.Event().wait()  # reaches no checkpoint
        finally:
            await job.log("warning", "cleaned up")
            cleaned.append(job.cancelled)

    handler(run)
    job = await enqueue("test_own")
    await ended(job, "running")
    await cancel_job(job.pk, tenant_id=None)
    assert (await ended(job)).status == "cancelled"
    assert cleaned == [True]
    assert await JobLog.objects.filter(message="cleaned up").aexists()


async def test_a_lost_job_stops_its_handler_and_keeps_the_successors_data(worker: JobWorker, handler: Callable) -> None:
    seen = []

    async def run(job: RunningJob) -> dict:
        if job.attempt > 1:
            return {"by": "successor"}
        await Job.objects.filter(pk=job.id).aupdate(status="queued", worker=None)
        with pytest.raises(JobLost):
            await job.save_state({"by": "zombie"})
        with pytest.raises(JobLost):
            await job.fenced(lambda: seen.append("written by a zombie"))
        try:
            await job.sleep(30)
        except JobLost:
            seen.append("stopped")
            raise
        return {"by": "zombie"}

    handler(run)
    job = await ended(await enqueue("test_own"))
    assert job.result == {"by": "successor"}
    await eventually(sync_to_async(lambda: seen == ["stopped"]))
    assert job.saved_state == {}


async def test_a_fenced_write_is_undone_when_it_fails(worker: JobWorker, handler: Callable) -> None:
    def write(name: str) -> None:
        Tenant.objects.create(name=name, slug=name)
        raise LookupError("later step")

    async def run(job: RunningJob) -> dict:
        try:
            await job.fenced(write, "northwind")
        except LookupError:
            return {"undone": not await Tenant.objects.aexists()}
        return {}

    handler(run)
    assert (await ended(await enqueue("test_own"))).result == {"undone": True}


async def test_progress_is_written_rarely_and_its_end_always(worker: JobWorker, handler: Callable) -> None:
    async def run(job: RunningJob) -> None:
        for number in range(2000):
            await job.progress(number + 1, 2000)

    handler(run)
    job = await ended(await enqueue("test_own"))
    assert (job.progress_done, job.progress_total) == (2000, 2000)
    assert job.version < 200


async def test_the_log_of_an_attempt_is_capped(worker: JobWorker, handler: Callable) -> None:
    async def run(job: RunningJob) -> None:
        for number in range(LOG_LINES + 50):
            await job.log("info", f"line {number}")

    handler(run)
    job = await ended(await enqueue("test_own"))
    lines = [line.message async for line in job.log_lines.all()]
    assert len(lines) == LOG_LINES + 1
    assert lines[-1] == "Further lines of this attempt are left out."


async def test_a_stopped_worker_gives_its_job_back_and_another_one_goes_on(handler: Callable) -> None:
    first = JobWorker(concurrency=1)
    task = asyncio.create_task(first.run())
    job = await enqueue("test_steps", parameters={"steps": 12, "pause": 0.1})
    await eventually(lambda: Job.objects.filter(saved_state__step__gte=2).aexists())
    first.request_stop()
    await task
    assert (await ended(job, "queued")).failures == 0
    assert not await Worker.objects.aexists()
    second = JobWorker(concurrency=1)
    task = asyncio.create_task(second.run())
    job = await ended(job)
    second.request_stop()
    await task
    assert (job.status, job.attempt) == ("succeeded", 2)
    assert job.result["from"] >= 2


async def test_jobs_run_side_by_side_with_a_connection_each(worker: JobWorker, handler: Callable) -> None:
    meeting = asyncio.Barrier(2)

    async def run(job: RunningJob) -> dict:
        await Job.objects.aget(pk=job.id)
        await meeting.wait()
        return {"tenants": await Tenant.objects.acount()}

    handler(run)
    jobs = [await enqueue("test_own") for _ in range(2)]
    assert [(await ended(job)).result for job in jobs] == [{"tenants": 0}] * 2


async def test_a_worker_notices_new_jobs_while_it_is_idle(worker: JobWorker) -> None:
    await eventually(Worker.objects.aexists)
    job = await ended(await enqueue("test_quick", run_after=timezone.now()))
    assert job.status == "succeeded"


async def test_a_kind_cannot_be_registered_twice(handler: Callable) -> None:
    async def one(_: RunningJob) -> None: ...

    async def other(_: RunningJob) -> None: ...

    handler(one)
    with pytest.raises(ValueError, match="registered twice"):
        handler(other)
