"""Jobs run in the process of the test, the way a worker runs them: claimed, fenced, settled."""

import uuid
from collections.abc import Callable

from asgiref.sync import sync_to_async

from collections_admin.jobs import leases
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.endings import run_handler
from collections_admin.models import Job, JobStatus
from collections_admin.services.tenant_collections import CollectionSettings, register


class Killed(BaseException):
    """Ends a handler anywhere, as a SIGKILL would."""


async def claim_next() -> RunningJob | None:
    """The next job that is queued, due or not."""
    await Job.objects.filter(status=JobStatus.QUEUED).aupdate(run_after="2000-01-01T00:00:00Z")
    claimed = await sync_to_async(leases.claim)(uuid.uuid4(), "test", 1)
    return RunningJob(claimed[0]) if claimed else None


async def run_next(prepare: Callable[[RunningJob], object] | None = None) -> Job:
    """Run one attempt of the next job; the row as it is afterwards. `prepare` may change the running job first."""
    running = await claim_next()
    assert running is not None, "no job is queued"
    if prepare:
        prepare(running)
    ending = await run_handler(running)
    await running.flush()
    await sync_to_async(ending.record)(running.lease)
    return await Job.objects.aget(pk=running.id)


async def run_all() -> list[Job]:
    """One attempt of every job that is queued now."""
    return [await run_next() for _ in range(await Job.objects.filter(status=JobStatus.QUEUED).acount())]


async def registered(tenant, table: str = "documents"):
    """The registry row of a tenant's collection; Qdrant gets it with the first ingest."""
    row, _ = await register(tenant, table, CollectionSettings())
    return row
