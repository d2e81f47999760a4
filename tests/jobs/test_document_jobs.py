"""The jobs of documents: uploads, imports, deletions; what broken files, outages and cancels leave behind."""

import json
import os
import signal

import pytest
from asgiref.sync import sync_to_async

from collections_admin import qdrant
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.errors import JobCancelled, WorkerStopping
from collections_admin.jobs.kinds import import_records
from collections_admin.jobs.kinds.import_records import start_import
from collections_admin.jobs.kinds.ingest import start, start_all
from collections_admin.jobs.queue import cancel_job, retry_job
from collections_admin.models import (
    Chunk,
    ChunkState,
    Document,
    DocumentStatus,
    Job,
    JobLog,
    JobStatus,
    Upload,
    UploadPart,
)
from collections_admin.services import documents, ingest
from collections_admin.services.document_actions import DocumentAction
from collections_admin.services.documents import DocumentText
from collections_admin.services.uploads import pieces_of, store_upload
from tests.factories import TenantFactory, make
from tests.jobs.conftest import Workers, wait_until
from tests.running import Killed, registered, run_next

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("qdrant")]

PDF_THAT_IS_NONE = b"%PDF-1.7\nthis is not a PDF at all\n%%EOF"


@pytest.fixture
async def collection():
    return await registered(await make(TenantFactory))


async def hand_in(collection, **files: bytes) -> list[documents.Saved]:
    stored = [
        await store_upload(
            collection.tenant,
            file_name=name.replace("__", "."),
            media_type="",
            pieces=pieces_of(content),
            max_bytes=10**8,
        )
        for name, content in files.items()
    ]
    return await documents.accept_files(collection, stored, by=None, enqueue=start("ingest", None))


async def queue_import(collection, lines: list[str], name: str = "records.jsonl") -> Job:
    content = "\n".join(lines).encode()
    stored = await store_upload(
        collection.tenant, file_name=name, media_type="", pieces=pieces_of(content), max_bytes=10**8
    )
    return await sync_to_async(start_import)(collection, stored, by=None)


def record(number: int, text: str = "", **more) -> str:
    content = text or f"Record {number} tells about invoices, tickets and releases of team {number % 7}."
    return json.dumps({"id": f"R-{number}", "title": f"Record {number}", "content": content} | more)


async def agree(collection) -> int:
    """Database and Qdrant hold the same chunks, all settled; returns how many."""
    rows = {str(row.point_id): row async for row in Chunk.objects.filter(document__collection=collection)}
    stored, cursor = {}, None
    while True:
        page = await qdrant.scroll(collection.alias, limit=1000, cursor=cursor)
        stored |= {str(point.id): point.payload for point in page.points}
        cursor = page.next_cursor
        if cursor is None:
            break
    assert stored.keys() == rows.keys()
    assert all(payload["content"] == rows[pk].content for pk, payload in stored.items())
    assert {row.state for row in rows.values()} <= {ChunkState.SETTLED}
    return len(rows)


class TestUploads:
    async def test_a_broken_file_fails_alone(self, collection) -> None:
        await hand_in(collection, good__md=b"# Title\n\nText about retention.", bad__pdf=PDF_THAT_IS_NONE)
        job = await run_next()
        good = await Document.objects.aget(external_id="good.md")
        bad = await Document.objects.aget(external_id="bad.pdf")
        assert (good.status, good.title) == (DocumentStatus.INDEXED, "Title")
        assert bad.status == DocumentStatus.FAILED
        assert "bad.pdf" in bad.error
        assert job.status == JobStatus.SUCCEEDED
        assert (job.result["indexed"], job.result["failed"]) == (1, 1)
        assert "bad.pdf" in (await JobLog.objects.aget(level="error")).message
        assert await Upload.objects.acount() == 1

    async def test_a_job_whose_only_document_fails_has_failed(self, collection) -> None:
        await hand_in(collection, bad__pdf=PDF_THAT_IS_NONE)
        job = await run_next()
        assert (job.status, job.attempt) == (JobStatus.FAILED, 1)
        assert "bad.pdf" in job.error

    async def test_the_same_file_again_is_unchanged(self, collection) -> None:
        await hand_in(collection, a__txt=b"Some text about retention.")
        await run_next()
        before = await Document.objects.aget()
        await hand_in(collection, a__txt=b"Some text about retention.")
        assert (await Document.objects.aget()).status == DocumentStatus.PENDING
        job = await run_next()
        after = await Document.objects.aget()
        assert (job.result["unchanged"], job.result["chunks written"]) == (1, 0)
        assert (after.status, after.rev, after.indexed_at) == (DocumentStatus.INDEXED, 1, before.indexed_at)
        assert not await UploadPart.objects.aexists()

    async def test_a_new_file_of_the_name_replaces_the_text(self, collection) -> None:
        await hand_in(collection, a__txt=b"Some text about retention.")
        await run_next()
        await hand_in(collection, a__txt=b"Another text about releases.")
        await run_next()
        found = await Document.objects.aget()
        assert (found.content, found.rev, found.indexed_rev) == ("Another text about releases.", 2, 2)
        assert await agree(collection) == 1

    async def test_a_broken_update_leaves_the_old_text_searchable(self, collection) -> None:
        await hand_in(collection, a__html=b"<p>Text about retention.</p>")
        await run_next()
        await hand_in(collection, a__html=b"<html></html>")
        await run_next()
        found = await Document.objects.aget()
        assert found.status == DocumentStatus.FAILED
        assert "no text" in found.error
        assert await agree(collection) == 1

    async def test_only_the_newest_of_two_files_is_read(self, collection) -> None:
        await hand_in(collection, a__txt=b"First.")
        await hand_in(collection, a__txt=b"Second.")
        await run_next()
        await run_next()
        assert (await Document.objects.aget()).content == "Second."
        assert not await Upload.objects.aexists()


class TestImport:
    async def test_good_records_go_in_and_bad_ones_are_named_with_their_lines(self, collection) -> None:
        lines = [record(1), "{broken", record(2, lang="en"), '{"content": "no id"}', "", record(3)]
        await queue_import(collection, lines)
        job = await run_next()
        assert job.status == JobStatus.SUCCEEDED
        assert {name: job.result[name] for name in ("created", "updated", "unchanged", "failed")} == {
            "created": 3,
            "updated": 0,
            "unchanged": 0,
            "failed": 2,
        }
        assert [error["line"] for error in job.result["errors"]] == [2, 4]
        found = await Document.objects.aget(external_id="R-2")
        assert (found.title, found.meta, found.status) == ("Record 2", {"lang": "en"}, DocumentStatus.INDEXED)
        assert await agree(collection) == 3
        assert not await Upload.objects.aexists()

    async def test_the_same_file_again_changes_nothing(self, collection) -> None:
        lines = [record(number) for number in range(30)]
        await queue_import(collection, lines)
        await run_next()
        before = {row.pk: row.indexed_at async for row in Document.objects.all()}
        await queue_import(collection, [*lines[:-1], record(29, "Another text.")])
        result = (await run_next()).result
        assert (result["created"], result["updated"], result["unchanged"]) == (0, 1, 29)
        assert result["chunks written"] == 1
        after = {row.pk: row.indexed_at async for row in Document.objects.all()}
        assert sum(before[pk] != after[pk] for pk in before) == 1

    async def test_an_id_that_stands_twice_is_an_update(self, collection) -> None:
        await queue_import(collection, [record(1, "First."), record(1, "Second.")])
        result = (await run_next()).result
        assert (result["created"], result["updated"]) == (1, 1)
        assert (await Document.objects.aget()).content == "Second."
        assert await agree(collection) == 1

    async def test_csv_is_read_as_well(self, collection) -> None:
        await queue_import(collection, ["id;content;team", '7;"Two\nlines";web', "8;;web"], "records.csv")
        result = (await run_next()).result
        assert (result["created"], result["failed"]) == (1, 1)
        assert (await Document.objects.aget()).meta == {"team": "web"}

    async def test_a_file_without_any_good_record_fails(self, collection) -> None:
        await queue_import(collection, ["{broken"] * 150)
        job = await run_next()
        assert job.status == JobStatus.FAILED
        assert "None of the 150 records" in job.error
        assert len(job.saved_state["errors"]) == 100

    @pytest.mark.parametrize("dies_at", [1, 2, 3])
    async def test_an_import_that_died_goes_on_and_counts_once(self, collection, monkeypatch, dies_at) -> None:
        monkeypatch.setattr(import_records, "BATCH_RECORDS", 10)
        await queue_import(collection, [record(number) for number in range(45)])
        original, calls = ingest.qdrant.upsert_points, []

        async def upsert(*args, **options):
            calls.append(1)
            if len(calls) == dies_at:
                raise Killed("killed")
            return await original(*args, **options)

        monkeypatch.setattr(ingest, "PORTION_CHUNKS", 8)
        with monkeypatch.context() as patch:
            patch.setattr(ingest.qdrant, "upsert_points", upsert)
            with pytest.raises(Killed):
                await run_next()
        await Job.objects.filter(status=JobStatus.RUNNING).aupdate(status=JobStatus.QUEUED, worker=None)
        job = await run_next()
        assert job.status == JobStatus.SUCCEEDED
        assert job.result["created"] == await Document.objects.acount() == 45
        assert await agree(collection) == 45

    @pytest.mark.parametrize("why", [WorkerStopping, JobCancelled])
    async def test_it_stops_between_batches(self, collection, monkeypatch, why) -> None:
        monkeypatch.setattr(import_records, "BATCH_RECORDS", 10)
        monkeypatch.setattr(ingest, "PORTION_CHUNKS", 8)
        job = await queue_import(collection, [record(number) for number in range(200)])
        running: list[RunningJob] = []
        original = ingest.qdrant.upsert_points

        async def upsert(*args, **options):
            running[0].interrupt(why)
            return await original(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(ingest.qdrant, "upsert_points", upsert)
            stopped = await run_next(running.append)
        assert stopped.status == (JobStatus.QUEUED if why is WorkerStopping else JobStatus.CANCELLED)
        assert await Document.objects.acount() < 200
        if why is WorkerStopping:
            assert (await run_next()).result["created"] == 200
            assert await agree(collection) == 200
        else:
            unfinished = Document.objects.filter(status__in=[DocumentStatus.PENDING, DocumentStatus.INDEXING])
            assert not await unfinished.aexists()
            assert job.pk == stopped.pk

    async def test_a_cancelled_import_that_is_retried_indexes_all_of_it(self, collection, monkeypatch) -> None:
        monkeypatch.setattr(import_records, "BATCH_RECORDS", 10)
        monkeypatch.setattr(ingest, "PORTION_CHUNKS", 8)
        job = await queue_import(collection, [record(number) for number in range(60)])
        await cancelled_on_the_way(monkeypatch)
        assert await Document.objects.filter(status=DocumentStatus.FAILED).aexists()
        await retry_job(job.pk, tenant_id=collection.tenant_id)
        assert (await run_next()).result["created"] == 60
        assert await Document.objects.filter(status=DocumentStatus.INDEXED).acount() == 60
        assert await agree(collection) == 60


async def cancelled_on_the_way(monkeypatch) -> Job:
    """One attempt of the next job, cancelled with its first points."""
    running: list[RunningJob] = []
    original = ingest.qdrant.upsert_points

    async def upsert(*args, **options):
        running[0].interrupt(JobCancelled)
        return await original(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ingest.qdrant, "upsert_points", upsert)
        return await run_next(running.append)


class TestEnds:
    async def test_what_a_cancelled_import_leaves_beside_another_one_does_not_stay_unfinished(
        self, collection, monkeypatch
    ) -> None:
        monkeypatch.setattr(import_records, "BATCH_RECORDS", 10)
        monkeypatch.setattr(ingest, "PORTION_CHUNKS", 8)
        await queue_import(collection, [record(number) for number in range(60)])
        await queue_import(collection, [record(100)])
        assert (await cancelled_on_the_way(monkeypatch)).status == JobStatus.CANCELLED
        assert (await run_next()).status == JobStatus.SUCCEEDED
        left = Document.objects.filter(status__in=[DocumentStatus.PENDING, DocumentStatus.INDEXING])
        assert not await left.aexists()
        assert await Document.objects.filter(status=DocumentStatus.FAILED).aexists()

    async def test_documents_of_a_cancelled_job_say_so(self, collection) -> None:
        await hand_in(collection, a__txt=b"Some text.")
        job = await Job.objects.aget()
        await cancel_job(job.pk, tenant_id=collection.tenant_id)
        found = await Document.objects.aget()
        assert found.status == DocumentStatus.FAILED
        assert "cancelled" in found.error

    async def test_a_document_that_another_job_has_stays_pending(self, collection) -> None:
        await hand_in(collection, a__txt=b"Some text.")
        first = await Job.objects.aget()
        await hand_in(collection, a__txt=b"Another text.")
        await cancel_job(first.pk, tenant_id=collection.tenant_id)
        assert (await Document.objects.aget()).status == DocumentStatus.PENDING

    async def test_all_pending_and_failed_are_ingested_by_one_job(self, collection) -> None:
        for number in range(3):
            written = DocumentText.checked(title=f"T{number}", text=f"Text {number}.", meta={})
            await documents.paste(collection, written, external_id=f"d{number}", by=None, enqueue=lambda rows: None)
        await sync_to_async(start_all)(collection, None)
        assert (await run_next()).result["indexed"] == 3
        assert await agree(collection) == 3


class TestDeletion:
    async def delete(self, collection, found) -> Job:
        await documents.change_document(
            collection.tenant,
            found.pk,
            DocumentAction.DELETE,
            by=None,
            enqueue=start("delete_documents", None),
        )
        return await run_next()

    async def test_points_and_rows_go(self, collection) -> None:
        await hand_in(collection, a__txt=b"Some text.", b__txt=b"Other text.")
        await run_next()
        job = await self.delete(collection, await Document.objects.aget(external_id="a.txt"))
        assert job.result == {"deleted": 1, "points removed": 1}
        assert (await Document.objects.aget()).external_id == "b.txt"
        assert await agree(collection) == 1

    async def test_points_that_no_row_names_go_as_well(self, collection) -> None:
        await hand_in(collection, a__txt=b"Some text.")
        await run_next()
        await Chunk.objects.all().adelete()
        job = await self.delete(collection, await Document.objects.aget())
        assert job.result["points removed"] == 1
        assert await agree(collection) == 0

    async def test_it_waits_for_qdrant(self, collection, qdrant) -> None:
        await hand_in(collection, a__txt=b"Some text.")
        await run_next()
        qdrant.stop()
        job = await self.delete(collection, await Document.objects.aget())
        assert job.status == JobStatus.QUEUED
        assert (await Document.objects.aget()).deleted_at is not None
        qdrant.start()


def _import_in_processes(collection, records: int) -> Job:
    content = "\n".join(record(number) for number in range(records)).encode()
    upload = Upload.objects.create(tenant=collection.tenant, file_name="records.jsonl", size_bytes=len(content))
    for index, piece in enumerate(pieces_of(content)):
        UploadPart.objects.create(upload=upload, index=index, data=piece)
    stored = documents.StoredUpload(
        id=upload.pk, file_name="records.jsonl", media_type="", size_bytes=len(content), sha256=""
    )
    return start_import(collection, stored, by=None)


class TestFaults:
    """A real worker process, with the node or the worker failing under it in the middle of an import."""

    RECORDS = 3000

    async def run(self, collection, workers: Workers, fault, monkeypatch) -> None:
        monkeypatch.setenv("QDRANT_TIMEOUT", "5")
        job = await sync_to_async(_import_in_processes)(collection, self.RECORDS)
        await sync_to_async(self._run)(job, workers, fault)
        job = await Job.objects.aget(pk=job.pk)
        assert (job.status, job.error) == (JobStatus.SUCCEEDED, "")
        assert job.result["created"] == self.RECORDS
        assert {row async for row in Document.objects.values_list("status", flat=True)} == {"indexed"}
        assert await agree(collection) == self.RECORDS

    def _run(self, job: Job, workers: Workers, fault) -> None:
        worker = workers.start(lease=2, heartbeat=0.3)
        written = Chunk.objects.filter(state=ChunkState.SETTLED)
        wait_until(lambda: written.count() > 200, workers.logs)
        fault(worker)
        assert Document.objects.exclude(status=DocumentStatus.INDEXED).exists() or written.count() < self.RECORDS
        wait_until(lambda: Job.objects.get(pk=job.pk).finished_at, workers.logs, 120)

    async def test_a_killed_node(self, collection, workers, qdrant, monkeypatch) -> None:
        def fault(worker) -> None:
            os.kill(qdrant.pid, signal.SIGKILL)
            wait_until(lambda: Job.objects.filter(failures__gt=0).exists(), workers.logs)
            qdrant.start()

        await self.run(collection, workers, fault, monkeypatch)

    async def test_a_frozen_node(self, collection, workers, qdrant, monkeypatch) -> None:
        def fault(worker) -> None:
            os.kill(qdrant.pid, signal.SIGSTOP)
            try:
                wait_until(lambda: Job.objects.filter(failures__gt=0).exists(), workers.logs)
                states = set(Document.objects.values_list("status", flat=True))
                assert DocumentStatus.PENDING in states
            finally:
                os.kill(qdrant.pid, signal.SIGCONT)

        await self.run(collection, workers, fault, monkeypatch)

    async def test_a_killed_worker(self, collection, workers, monkeypatch) -> None:
        def fault(worker) -> None:
            worker.kill()
            workers.start(lease=2, heartbeat=0.3)

        await self.run(collection, workers, fault, monkeypatch)
