"""Clean up or delete a collection."""

from typing import Any

from collections_admin import qdrant
from collections_admin.concurrency import in_transaction
from collections_admin.errors import NotFound
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.queue import add_job
from collections_admin.jobs.registry import job_kind
from collections_admin.models import Job, Removal, TenantCollection, User
from collections_admin.services import collection_removal as steps

KINDS = {Removal.CLEAN_UP: "clean_up", Removal.DELETE: "delete"}


@in_transaction
def start_removal(actor: User, row: TenantCollection, removal: Removal, impact: steps.Impact) -> Job:
    """Decision, trace and job in one transaction. Raises what `decide` raises; nothing has changed then."""
    marked = steps.decide(actor, row.pk, removal, impact)
    return add_job(
        KINDS[removal],
        tenant=marked.tenant,
        collection=marked,
        subject=marked.table,
        parameters={"collection": marked.pk},
        created_by=actor,
        unique_key=f"removal:{marked.pk}",
        max_attempts=6,
    )


@job_kind(KINDS[Removal.CLEAN_UP], label="Clean-up")
async def clean_up(job: RunningJob) -> dict[str, Any]:
    row = await _collection(job, Removal.CLEAN_UP)
    if row is None:
        return {"already_done": True}
    await _wait_for_others(job, row)
    progress = _Progress(job, await _total(row))
    await job.confirm()
    async for deleted in steps.delete_points(row):
        await progress.add("points", deleted)
    await _delete_rows(job, row, progress)
    return progress.counts


@job_kind(KINDS[Removal.DELETE], label="Delete")
async def delete(job: RunningJob) -> dict[str, Any]:
    row = await _collection(job, Removal.DELETE)
    if row is None:
        return {"already_done": True}
    await _wait_for_others(job, row)
    progress = _Progress(job, await row.documents.acount())
    await job.confirm()
    existed = await steps.delete_in_qdrant(row)
    await job.log("info", f"{row.physical_name}: {'deleted' if existed else 'was not in Qdrant any more'}.")
    await _delete_rows(job, row, progress)
    return progress.counts | {"in Qdrant": existed}


async def _collection(job: RunningJob, removal: Removal) -> TenantCollection | None:
    """None when an earlier attempt has done all of it. A row without the mark is not touched."""
    wanted = TenantCollection.objects.filter(pk=job.parameters["collection"], tenant_id=job.tenant_id)
    return await wanted.filter(removal=removal).afirst()


async def _wait_for_others(job: RunningJob, row: TenantCollection) -> None:
    while (other := await steps.running_job(row, besides=job.id)) is not None:
        await job.progress(0, message=f"waits for job {other}")
        await job.sleep(1)


async def _total(row: TenantCollection) -> int:
    try:
        points = await qdrant.count(row.physical_name, lane="bulk")
    except NotFound:
        points = 0
    return points + await row.documents.acount()


async def _delete_rows(job: RunningJob, row: TenantCollection, progress: "_Progress") -> None:
    while not await job.fenced(steps.finish, row.pk):
        await progress.add("documents", await job.fenced(steps.delete_documents, row.pk))


class _Progress:
    """Counts by what was deleted in this attempt."""

    def __init__(self, job: RunningJob, total: int) -> None:
        self.job, self.total = job, total
        self.counts: dict[str, int] = {}

    async def add(self, what: str, number: int) -> None:
        self.counts[what] = self.counts.get(what, 0) + number
        done = sum(self.counts.values())
        await self.job.progress(done, max(self.total, done), f"deleting {what}")
        await self.job.confirm()
