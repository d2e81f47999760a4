"""Clean-up and delete: decision, job, and what an interruption leaves behind."""

import uuid

import pytest
from asgiref.sync import sync_to_async

from collections_admin import qdrant as package
from collections_admin.concurrency import in_transaction
from collections_admin.errors import Conflict, NotFound
from collections_admin.jobs.kinds.collection_removal import start_removal
from collections_admin.jobs.queue import enqueue
from collections_admin.models import AuditEvent, Chunk, Document, Job, JobStatus, Removal, TenantCollection
from collections_admin.services import collection_removal as removal
from collections_admin.services import tenant_collections as registry
from tests.factories import CollectionFactory, DocumentFactory, UserFactory, make
from tests.filled import filled_collection, filled_document
from tests.outages import outage
from tests.running import run_next

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_closed_at_the_end")]
TEXTS = ["one fish", "two fish", "red fish"]


async def filled(**fields) -> TenantCollection:
    row = await filled_collection(**fields)
    for _ in range(2):
        await filled_document(row, TEXTS)
    return row


async def start(row: TenantCollection, kind: Removal) -> Job:
    return await start_removal(await make(UserFactory), row, kind, await removal.impact_of(row))


async def left() -> tuple[int, int]:
    return await Document.objects.acount(), await Chunk.objects.acount()


# ---- impact and decision


async def test_the_impact_counts_points_exactly_and_names_aliases_of_others(qdrant):
    row = await filled()
    await package.switch_alias("somebody_elses", row.physical_name)
    impact = await removal.impact_of(row)
    assert (impact.points, impact.documents, impact.chunks) == (6, 2, 6)
    assert impact.aliases == sorted([row.alias, "somebody_elses"])
    assert impact.others == ["somebody_elses"]
    assert impact.notice is None


async def test_the_impact_of_a_missing_collection_is_what_the_database_holds(qdrant):
    document = await make(DocumentFactory)
    impact = await removal.impact_of(document.collection)
    assert (impact.points, impact.is_missing, impact.documents) == (0, True, 1)


async def test_a_decision_marks_the_row_leaves_a_trace_and_enqueues_one_job(qdrant):
    row = await filled()
    job = await start(row, Removal.CLEAN_UP)
    assert (await TenantCollection.objects.aget()).removal == Removal.CLEAN_UP
    event = await AuditEvent.objects.aget(action="collection.clean_up")
    assert event.before == {"points": 6, "documents": 2, "chunks": 6}
    assert (job.kind, job.collection_id, job.status) == ("clean_up", row.pk, JobStatus.QUEUED)


async def test_a_protected_collection_refuses_and_says_how_to_lift_that(qdrant):
    row = await filled(is_protected=True)
    with pytest.raises(Conflict, match=r"protected\. An admin lifts the protection"):
        await start(row, Removal.DELETE)
    assert await Job.objects.acount() == 0
    assert await AuditEvent.objects.acount() == 0
    assert (await TenantCollection.objects.aget()).removal == ""


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
async def test_a_job_at_work_on_the_collection_keeps_it(qdrant, status):
    row = await filled()
    other = await enqueue("ensure", tenant=row.tenant, collection=row)
    await Job.objects.filter(pk=other.pk).aupdate(status=status)
    with pytest.raises(Conflict, match=other.short_id):
        await start(row, Removal.DELETE)
    assert (await TenantCollection.objects.aget()).removal == ""


async def test_while_a_collection_is_being_removed_nothing_can_be_added_or_ensured(qdrant):
    row = await filled()
    await start(row, Removal.DELETE)
    with pytest.raises(Conflict, match="being deleted"):
        await in_transaction(registry.lock_for_writing)(row.pk)
    with pytest.raises(Conflict, match="being deleted"):
        await registry.ensure_collection(await TenantCollection.objects.aget())
    with pytest.raises(NotFound):
        await in_transaction(registry.lock_for_writing)(10**30)


# ---- the jobs


async def test_clean_up_removes_points_and_rows_and_keeps_the_collection(qdrant):
    row, other = await filled(), await filled(table="users")
    orphan = package.PointToWrite(id=str(uuid.uuid4()), vector=[0.1] * 256, payload={"text": "of nobody"})
    await package.upsert_points(row.physical_name, [orphan])
    await start(row, Removal.CLEAN_UP)
    job = await run_next()
    assert (job.status, job.result) == (JobStatus.SUCCEEDED, {"points": 7, "documents": 2})
    assert await package.count(row.alias) == 0
    assert (await TenantCollection.objects.aget(pk=row.pk)).removal == ""
    assert await package.count(other.alias) == 6
    assert await Document.objects.filter(collection=other).acount() == 2
    assert await Document.objects.filter(collection=row).acount() == 0


async def test_clean_up_goes_through_more_than_one_batch(qdrant, monkeypatch):
    monkeypatch.setattr(removal, "POINTS_AT_ONCE", 4)
    monkeypatch.setattr(removal, "DOCUMENTS_AT_ONCE", 1)
    row = await filled()
    await start(row, Removal.CLEAN_UP)
    assert (await run_next()).result == {"points": 6, "documents": 2}
    assert await left() == (0, 0)


async def test_delete_removes_collection_alias_documents_and_registry_row(qdrant):
    row, other = await filled(), await filled(table="users")
    await start(row, Removal.DELETE)
    job = await run_next()
    assert (job.status, job.result) == (JobStatus.SUCCEEDED, {"documents": 2, "in Qdrant": True})
    assert await package.list_collections() == [other.physical_name]
    assert list(await package.list_aliases()) == [other.alias]
    assert [found.pk async for found in TenantCollection.objects.all()] == [other.pk]
    assert await left() == (2, 6)


async def test_delete_refuses_to_drop_an_alias_of_somebody_else_and_says_so(qdrant):
    row = await filled()
    await start(row, Removal.DELETE)
    await package.switch_alias("somebody_elses", row.physical_name)
    job = await run_next()
    assert "somebody_elses" in job.error
    assert await package.count(row.physical_name) == 6
    assert (await TenantCollection.objects.aget()).removal == Removal.DELETE


async def test_a_collection_that_qdrant_lost_can_be_deleted(qdrant):
    document = await make(DocumentFactory)
    await start(document.collection, Removal.DELETE)
    assert (await run_next()).result == {"documents": 1, "in Qdrant": False}
    assert await TenantCollection.objects.acount() == 0


@pytest.mark.parametrize("kind", list(Removal))
async def test_qdrant_down_in_the_middle_is_said_and_the_next_attempt_completes(qdrant, kind):
    row = await filled()
    await start(row, kind)
    async with outage(qdrant):
        job = await run_next()
    assert job.status == JobStatus.QUEUED
    assert "does not answer" in job.error
    assert (await TenantCollection.objects.aget()).removal == kind
    assert await left() == (2, 6)
    assert (await run_next()).status == JobStatus.SUCCEEDED
    assert await left() == (0, 0)
    assert await TenantCollection.objects.acount() == (1 if kind == Removal.CLEAN_UP else 0)


async def test_a_crash_between_qdrant_and_the_database_leaves_the_removal_visible_and_resumable(qdrant, monkeypatch):
    row = await filled()
    await start(row, Removal.DELETE)

    def crash(_):
        raise RuntimeError("the machine went away")

    with monkeypatch.context() as patch:
        patch.setattr(removal, "delete_documents", crash)
        assert "went away" in (await run_next()).error
    assert await package.list_collections() == []
    assert (await TenantCollection.objects.aget()).removal == Removal.DELETE
    assert (await run_next()).status == JobStatus.SUCCEEDED
    assert await TenantCollection.objects.acount() == 0


@pytest.mark.parametrize("kind", [Removal.DELETE, Removal.CLEAN_UP])
async def test_a_worker_that_slept_until_its_job_was_taken_over_removes_nothing(qdrant, monkeypatch, kind):
    row = await filled()
    job = await start(row, kind)

    async def taken_over(*_, **__):
        await Job.objects.filter(pk=job.pk).aupdate(status=JobStatus.SUCCEEDED, worker=None)

    monkeypatch.setattr(removal, "running_job", taken_over)
    await run_next()
    assert await package.count(row.alias) == 6
    assert await left() == (2, 6)


async def test_a_job_without_its_decision_removes_nothing(qdrant):
    row = await filled()
    for kind in ("delete", "clean_up"):
        await enqueue(kind, tenant=row.tenant, parameters={"collection": row.pk})
        assert (await run_next()).result == {"already_done": True}
    assert await package.count(row.alias) == 6
    assert await left() == (2, 6)


async def test_a_job_of_one_tenant_cannot_remove_the_collection_of_another(qdrant):
    row, stranger = await filled(), await make(CollectionFactory)
    await TenantCollection.objects.filter(pk=row.pk).aupdate(removal=Removal.DELETE)
    await enqueue("delete", tenant=stranger.tenant, parameters={"collection": row.pk})
    assert (await run_next()).result == {"already_done": True}
    assert await package.count(row.alias) == 6


async def test_removal_waits_for_a_job_that_began_at_the_same_moment(qdrant):
    row = await filled()
    other = await enqueue("ensure", tenant=row.tenant)
    assert await removal.running_job(row, besides=None) is None
    await Job.objects.filter(pk=other.pk).aupdate(status=JobStatus.RUNNING, collection=row)
    assert await removal.running_job(row, besides=None) == other.short_id
    assert await removal.running_job(row, besides=other.pk) is None


async def test_an_outage_during_the_preview_is_named(qdrant):
    row = await filled()
    async with outage(qdrant):
        impact = await removal.impact_of(row)
    assert impact.points is None
    assert "does not answer" in impact.notice.title
    assert (impact.documents, impact.chunks) == (2, 6)


async def test_points_are_deleted_by_ids_until_none_is_left(qdrant):
    row = await filled()
    assert [number async for number in removal.delete_points(row)] == [6]
    assert await package.count(row.alias) == 0
    missing = await make(CollectionFactory, table="users")
    assert [number async for number in removal.delete_points(missing)] == []


async def test_the_rows_of_one_collection_are_deleted_and_no_others(qdrant):
    mine, other = await make(DocumentFactory), await make(DocumentFactory, collection__table="users")
    assert await sync_to_async(removal.delete_documents)(mine.collection_id) == 1
    assert await sync_to_async(removal.delete_documents)(mine.collection_id) == 0
    assert [document.pk async for document in Document.objects.all()] == [other.pk]
