"""The ETL flow on a real node and a real database: what is written, what is left alone, what is repaired."""

import asyncio
import inspect
import random
import uuid

import pytest
from asgiref.sync import sync_to_async

from collections_admin import qdrant
from collections_admin.jobs.kinds.ingest import start, start_all
from collections_admin.models import Chunk, ChunkState, Document, DocumentStatus, Job, JobStatus
from collections_admin.services import documents, ingest, ingest_rows
from collections_admin.services.chunk_rows import point_id_of, text_hash
from collections_admin.services.document_actions import DocumentAction
from collections_admin.services.documents import DocumentText
from collections_admin.services.tenant_collections import ensure_collection
from tests.factories import SuperuserFactory, TenantFactory, make
from tests.running import Killed, registered, run_next

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("qdrant")]

WORDS = [
    "retention",
    "policy",
    "ledger",
    "archive",
    "clause",
    "audit",
    "invoice",
    "ticket",
    "release",
    "branch",
    "merge",
    "deploy",
    "backup",
]


def prose(sentences: int, seed: int = 1) -> str:
    pick = random.Random(seed)
    return " ".join(" ".join(pick.choices(WORDS, k=12)).capitalize() + "." for _ in range(sentences))


@pytest.fixture
async def collection():
    return await registered(await make(TenantFactory))


@pytest.fixture
async def person():
    return await make(SuperuserFactory)


async def paste(collection, text, *, external_id="handbook", title="Handbook", meta=None, by=None) -> Document:
    written = DocumentText.checked(title=title, text=text, meta=meta or {"lang": "en"})
    saved = await documents.paste(collection, written, external_id=external_id, by=by, enqueue=start("ingest", by))
    return await Document.objects.select_related("collection").aget(pk=saved.document_id)


async def points(collection) -> dict[str, tuple]:
    """Everything that Qdrant holds, vectors included."""
    found, cursor = {}, None
    while True:
        page = await qdrant.scroll(collection.alias, limit=500, cursor=cursor, with_vectors=True)
        found |= {str(point.id): (point.payload, tuple(point.vector)) for point in page.points}
        cursor = page.next_cursor
        if cursor is None:
            return found


async def rows(document) -> list[Chunk]:
    return [chunk async for chunk in Chunk.objects.filter(document=document).order_by("index")]


class TestFirstIngest:
    async def test_the_payload_has_every_field_and_no_other(self, collection) -> None:
        document = await paste(collection, prose(60))
        assert (await run_next()).status == JobStatus.SUCCEEDED
        await document.arefresh_from_db()
        stored = await points(collection)
        assert len(stored) == document.chunk_count > 3
        chunk = (await rows(document))[1]
        payload, vector = stored[str(point_id_of(collection.pk, document.pk, 1))]
        assert len(vector) == collection.vector_size == 256
        assert payload.pop("indexed_at").endswith("+00:00")
        assert payload == {
            "tenant_id": collection.tenant_id,
            "table_name": "documents",
            "document_id": str(document.pk),
            "external_id": "handbook",
            "title": "Handbook",
            "chunk_index": 1,
            "chunk_count": document.chunk_count,
            "content": chunk.content,
            "content_hash": text_hash(chunk.content),
            "embedding_model": "wordllama-256",
            "archived_at": None,
            "rev": 1,
            "meta": {"lang": "en"},
        }

    async def test_document_and_rows_say_that_it_is_done(self, collection) -> None:
        document = await paste(collection, prose(60))
        job = await run_next()
        await document.arefresh_from_db()
        assert (document.status, document.error, document.indexed_rev) == (DocumentStatus.INDEXED, "", 1)
        assert document.token_count > 0
        assert set(document.timings) == {"split", "embed", "upsert"}
        assert {chunk.state for chunk in await rows(document)} == {ChunkState.SETTLED}
        assert job.result["indexed"] == 1
        assert job.result["chunks written"] == document.chunk_count
        await collection.arefresh_from_db()
        assert collection.last_ingest_at is not None

    async def test_a_model_of_another_dimension_is_refused(self, collection) -> None:
        collection.vector_size = 100
        await collection.asave()
        document = await paste(collection, prose(5))
        job = await run_next()
        assert job.status != JobStatus.SUCCEEDED
        assert "reindex" in job.error or "100" in job.error
        await document.arefresh_from_db()
        assert document.status != DocumentStatus.INDEXED


class TestAgain:
    async def test_the_same_ingest_twice_changes_nothing(self, collection, person) -> None:
        document = await paste(collection, prose(80))
        await run_next()
        before = await points(collection)
        await documents.change_document(
            collection.tenant, document.pk, DocumentAction.INGEST, by=person, enqueue=start("ingest", person)
        )
        job = await run_next()
        assert job.result["chunks written"] == 0
        assert await points(collection) == before
        await document.arefresh_from_db()
        assert document.status == DocumentStatus.INDEXED

    async def test_the_same_text_again_needs_no_job(self, collection) -> None:
        await paste(collection, prose(10))
        await run_next()
        await paste(collection, prose(10))
        assert not await Job.objects.filter(status=JobStatus.QUEUED).aexists()

    async def test_unchanged_chunks_are_neither_embedded_nor_written(self, collection, monkeypatch) -> None:
        text = prose(120)
        document = await paste(collection, text)
        await run_next()
        before = await points(collection)
        embedded = _count_embeddings(monkeypatch)
        await paste(collection, f"{text}\n\n{prose(20, seed=9)}")
        await run_next()
        after = await points(collection)
        await document.arefresh_from_db()
        assert 0 < len(embedded) < len(after) / 2
        kept = [pk for pk in before if before[pk][0]["content"] == after[pk][0]["content"]]
        assert len(kept) > len(before) / 2
        assert all(before[pk][1] == after[pk][1] for pk in kept)
        assert all(before[pk][0]["indexed_at"] == after[pk][0]["indexed_at"] for pk in kept)
        assert {payload["rev"] for payload, _ in after.values()} == {2}
        assert {payload["chunk_count"] for payload, _ in after.values()} == {document.chunk_count}

    async def test_a_new_title_costs_no_embedding(self, collection, monkeypatch) -> None:
        await paste(collection, prose(60))
        await run_next()
        embedded = _count_embeddings(monkeypatch)
        await paste(collection, prose(60), title="New handbook", meta={"lang": "de"})
        job = await run_next()
        assert embedded == []
        assert job.result["chunks written"] == 0
        stored = await points(collection)
        assert {payload["title"] for payload, _ in stored.values()} == {"New handbook"}
        assert all(payload["meta"] == {"lang": "de"} for payload, _ in stored.values())

    async def test_a_shorter_text_takes_its_surplus_out_of_qdrant(self, collection) -> None:
        document = await paste(collection, prose(120))
        await run_next()
        await paste(collection, prose(30))
        job = await run_next()
        await document.arefresh_from_db()
        assert job.result["chunks removed"] > 0
        assert len(await points(collection)) == document.chunk_count == len(await rows(document))

    async def test_archive_and_restore_set_the_payload_of_the_points(self, collection, person) -> None:
        document = await paste(collection, prose(40))
        await run_next()
        for action, status in (
            (DocumentAction.ARCHIVE, DocumentStatus.ARCHIVED),
            (DocumentAction.RESTORE, DocumentStatus.INDEXED),
        ):
            await documents.change_document(
                collection.tenant, document.pk, action, by=person, enqueue=start(action.value, person)
            )
            assert (await run_next()).result["chunks written"] == 0
            await document.arefresh_from_db()
            assert document.status == status
            wanted = document.archived_at.isoformat() if document.archived_at else None
            assert {payload.get("archived_at") for payload, _ in (await points(collection)).values()} == {wanted}


def _count_embeddings(monkeypatch) -> list[str]:
    """The texts given to the model from now on."""
    seen: list[str] = []
    model = ingest.get_model("wordllama-256")
    original = model.embed

    async def embed(texts):
        seen.extend(texts)
        return await original(texts)

    monkeypatch.setattr(model, "embed", embed, raising=False)
    return seen


class TestChangedMeanwhile:
    async def test_an_older_text_never_replaces_a_newer_one(self, collection, monkeypatch) -> None:
        document = await paste(collection, prose(60))
        original = ingest.qdrant.upsert_points
        changed = []

        async def upsert(*args, **options):
            if not changed:
                changed.append(await paste(collection, prose(8, seed=5)))
            return await original(*args, **options)

        monkeypatch.setattr(ingest.qdrant, "upsert_points", upsert)
        first = await run_next()
        await run_next()
        await document.arefresh_from_db()
        assert first.status == JobStatus.SUCCEEDED
        assert (document.rev, document.indexed_rev, document.status) == (2, 2, DocumentStatus.INDEXED)
        stored = await points(collection)
        assert len(stored) == document.chunk_count
        assert {payload["content"] for payload, _ in stored.values()} == {
            chunk.content for chunk in await rows(document)
        }
        assert {payload["rev"] for payload, _ in stored.values()} == {2}

    async def test_a_document_deleted_while_it_is_written_leaves_no_points(
        self, collection, person, monkeypatch
    ) -> None:
        document = await paste(collection, prose(60))
        original = ingest.qdrant.upsert_points

        async def upsert(*args, **options):
            await documents.change_document(
                collection.tenant,
                document.pk,
                DocumentAction.DELETE,
                by=person,
                enqueue=start("delete_documents", person),
            )
            await run_next()
            return await original(*args, **options)

        monkeypatch.setattr(ingest.qdrant, "upsert_points", upsert)
        assert (await run_next()).status == JobStatus.SUCCEEDED
        assert await points(collection) == {}
        assert not await Document.objects.aexists()

    async def test_a_worker_that_slept_until_its_job_was_taken_over_writes_no_points(
        self, collection, monkeypatch
    ) -> None:
        await paste(collection, prose(8))
        model = ingest.get_model(collection.embedding_model)
        original = model.embed

        async def embed(texts):
            await Job.objects.aupdate(status=JobStatus.SUCCEEDED, worker=None)
            await Document.objects.all().adelete()  # what others did while it slept
            return await original(texts)

        monkeypatch.setattr(model, "embed", embed)
        await run_next()
        assert await points(collection) == {}


STEPS = [
    (ingest.ingest_rows, "begin_plans"),
    (ingest.qdrant, "upsert_points"),
    (ingest.qdrant, "set_payload"),
    (ingest.qdrant, "delete_points"),
    (ingest.ingest_rows, "settle"),
]


class TestRepair:
    @pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(("place", "name"), STEPS, ids=[name for _, name in STEPS])
    async def test_what_died_at_any_step_is_completed_by_the_next_attempt(
        self, collection, monkeypatch, place, name, is_after
    ) -> None:
        text = prose(100)
        document = await paste(collection, text)
        await run_next()
        await paste(collection, text[: len(text) // 2] + prose(5, seed=3), title="Shorter")
        with monkeypatch.context() as patch:
            patch.setattr(place, name, _dying(getattr(place, name), is_after))
            with pytest.raises(Killed):
                await run_next()
        await Job.objects.filter(status=JobStatus.RUNNING).aupdate(status=JobStatus.QUEUED, worker=None)
        assert (await run_next()).status == JobStatus.SUCCEEDED
        await _agree(collection, document)

    async def test_documents_say_that_they_wait_while_qdrant_is_away(self, collection, qdrant) -> None:
        document = await paste(collection, prose(10))
        await run_next()
        await paste(collection, prose(40, seed=2))
        qdrant.stop()
        job = await run_next()
        await document.arefresh_from_db()
        assert job.status == JobStatus.QUEUED
        assert document.status == DocumentStatus.PENDING
        assert "does not answer" in document.error
        qdrant.start()
        await _run_until_done()
        await _agree(collection, document)


async def _run_until_done() -> None:
    """The attempts that a worker would make; a client needs up to two seconds to come back after an outage."""
    while (await run_next()).status == JobStatus.QUEUED:
        await asyncio.sleep(0.5)


def _dying(original, is_after):

    if inspect.iscoroutinefunction(original):

        async def asynchronous(*args, **options):
            if is_after:
                await original(*args, **options)
            raise Killed("killed")

        return asynchronous

    def synchronous(*args, **options):
        if is_after:
            original(*args, **options)
        raise Killed("killed")

    return synchronous


async def _agree(collection, document) -> None:
    """Database and Qdrant hold the same of the document."""
    await document.arefresh_from_db()
    assert (document.status, document.error) == (DocumentStatus.INDEXED, "")
    assert document.indexed_rev == document.rev
    stored = await points(collection)
    bridge = {str(chunk.point_id): chunk for chunk in await rows(document)}
    assert stored.keys() == bridge.keys()
    assert {chunk.state for chunk in bridge.values()} == {ChunkState.SETTLED}
    for pk, (payload, _) in stored.items():
        assert payload["content"] == bridge[pk].content
        assert payload["title"] == document.title
        assert payload["rev"] == document.rev == bridge[pk].rev
        assert payload["chunk_count"] == document.chunk_count


class TestLostPoints:
    async def again(self, document, person) -> Job:
        await documents.change_document(
            document.tenant, document.pk, DocumentAction.INGEST, by=person, enqueue=start("ingest", person)
        )
        return await run_next()

    async def test_an_ingest_writes_the_lost_points_alone(self, collection, person, monkeypatch) -> None:
        document = await paste(collection, prose(120))
        await run_next()
        document = await Document.objects.select_related("tenant").aget(pk=document.pk)
        before = await points(collection)
        lost = sorted(before)[:3]
        await qdrant.delete_points(collection.alias, lost)
        embedded = _count_embeddings(monkeypatch)
        job = await self.again(document, person)
        assert (job.result["chunks written"], job.result["chunks Qdrant had lost"]) == (3, 3)
        assert sorted(embedded) == sorted(before[pk][0]["content"] for pk in lost)
        after = await points(collection)
        assert after.keys() == before.keys()
        assert {pk: after[pk] for pk in after if pk not in lost} == {pk: before[pk] for pk in before if pk not in lost}
        assert {pk: _lasting(after[pk]) for pk in lost} == {pk: _lasting(before[pk]) for pk in lost}
        assert (await self.again(document, person)).result["chunks written"] == 0
        assert len(embedded) == 3
        assert await points(collection) == after

    async def test_a_point_of_somebody_else_does_not_stand_in_for_a_lost_one(self, collection, person) -> None:
        document = await paste(collection, prose(60))
        await run_next()
        document = await Document.objects.select_related("tenant").aget(pk=document.pk)
        before = await points(collection)
        lost = min(before)
        await qdrant.delete_points(collection.alias, [lost])
        stranger = qdrant.PointToWrite(id=str(uuid.uuid4()), vector=[1.0] * 256, payload=before[lost][0])
        await qdrant.upsert_points(collection.alias, [stranger])
        assert (await self.again(document, person)).result["chunks written"] == 1
        assert before.keys() < (await points(collection)).keys()

    async def test_a_lost_collection_makes_all_of_it_pending(self, collection, person) -> None:
        first = await paste(collection, prose(60))
        second = await paste(collection, prose(60, seed=2), external_id="second")
        await run_next()
        await run_next()
        await documents.change_document(
            collection.tenant, second.pk, DocumentAction.ARCHIVE, by=person, enqueue=start("archive", person)
        )
        await run_next()
        before = await points(collection)
        await qdrant.delete_collection(collection.physical_name, aliases=(collection.alias,))
        ensured = await ensure_collection(collection, again=True)
        assert (ensured.was_missing, ensured.waiting) == (True, 2)
        assert {chunk.state for pk in (first, second) for chunk in await rows(pk)} == {ChunkState.PENDING}
        assert {row.status async for row in Document.objects.all()} == {DocumentStatus.PENDING}
        await sync_to_async(start_all)(collection, person)
        job = await run_next()
        assert (job.result["indexed"], job.result["chunks written"]) == (2, len(before))
        after = await points(collection)
        assert {pk: _lasting(point) for pk, point in after.items()} == {
            pk: _lasting(point) for pk, point in before.items()
        }
        statuses = {row.pk: row.status async for row in Document.objects.all()}
        assert statuses == {first.pk: DocumentStatus.INDEXED, second.pk: DocumentStatus.ARCHIVED}
        ensured = await ensure_collection(collection, again=True)
        assert (ensured.changed, ensured.waiting) == (False, 0)
        await sync_to_async(start_all)(collection, person)
        assert (await run_next()).result["chunks written"] == 0
        assert await points(collection) == after

    async def test_a_loss_that_nobody_noticed_is_found_by_the_next_ingest(self, collection, person) -> None:
        document = await paste(collection, prose(60))
        await run_next()
        document = await Document.objects.select_related("tenant").aget(pk=document.pk)
        before = await points(collection)
        await qdrant.delete_collection(collection.physical_name, aliases=(collection.alias,))
        first = await self.again(document, person)
        assert first.status == JobStatus.QUEUED
        assert (await run_next()).status == JobStatus.SUCCEEDED
        assert (await points(collection)).keys() == before.keys()


def _lasting(point: tuple) -> tuple:
    """What does not depend on when it was written."""
    payload, vector = point
    return {name: value for name, value in payload.items() if name != "indexed_at"}, vector


class TestCounts:
    def test_the_hash_of_a_document_covers_title_text_and_meta(self) -> None:
        hashes = {
            ingest_rows.document_hash(*parts)
            for parts in (("a", "b", {}), ("a", "c", {}), ("x", "b", {}), ("a", "b", {"k": 1}), ("ab", "", {}))
        }
        assert len(hashes) == 5
