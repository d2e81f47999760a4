"""Pages of documents: who may see and do what, what is refused and how, what the database says afterwards."""

import io
import json
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from collections_admin import limits
from collections_admin.models import (
    Document,
    DocumentSource,
    DocumentStatus,
    Job,
    Role,
    TenantCollection,
    Upload,
    UploadPart,
)
from tests.factories import CollectionFactory, DocumentFactory, TenantFactory, UserFactory, make, member

pytestmark = pytest.mark.django_db(transaction=True)
HTMX = {"HX-Request": "true"}


@pytest.fixture
async def tenant():
    return await make(TenantFactory)


@pytest.fixture
async def operator(tenant, client_for):
    return await client_for(await make(member, tenant, Role.OPERATOR))


@pytest.fixture
async def admin(tenant, client_for):
    return await client_for(await make(member, tenant, Role.ADMIN))


@pytest.fixture
async def viewer(tenant, client_for):
    return await client_for(await make(member, tenant, Role.VIEWER))


@pytest.fixture
async def document(tenant):
    collection = await make(CollectionFactory, tenant=tenant, table="documents")
    return await make(DocumentFactory, collection=collection, status=DocumentStatus.INDEXED, title="Retention policy")


def url(where, rest: str = "") -> str:
    """`where` is a tenant, or something of one."""
    return f"/tenants/{getattr(where, 'tenant_id', where.pk)}/documents/{rest}"


def file(name: str, content: bytes = b"Some text about retention.") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


async def upload(client, tenant, *files, **fields):
    return await client.post(url(tenant, "new/"), {"collection": "documents", "files": list(files)} | fields)


READ = ["", "work/", "facet/?field=status", "{id}/", "{id}/record/", "{id}/history/", "{id}/download/"]
WRITE = ["new/", "new/paste/", "new/import/", "bulk/", "ingest-failed/"]
WRITE_ONE = ["{id}/edit/", "{id}/archive/", "{id}/restore/", "{id}/ingest/", "{id}/delete/"]


class TestAccess:
    @pytest.mark.parametrize("path", [path for path in READ if path != "{id}/"])
    async def test_a_viewer_reads(self, viewer, tenant, document, path) -> None:
        assert (await viewer.get(url(tenant, path.format(id=document.pk)))).status_code == 200

    @pytest.mark.parametrize("path", WRITE + WRITE_ONE)
    async def test_a_viewer_who_writes_gets_403_and_nothing_changes(self, viewer, tenant, document, path) -> None:
        answer = await viewer.post(url(tenant, path.format(id=document.pk)), {"action": "delete"})
        assert answer.status_code == 403
        assert not await Job.objects.aexists()

    @pytest.mark.parametrize("path", READ + WRITE + WRITE_ONE)
    async def test_a_stranger_gets_404(self, client_for, tenant, document, path) -> None:
        stranger = await client_for(await make(UserFactory))
        where = url(tenant, path.format(id=document.pk))
        method = stranger.get if path in READ else stranger.post
        assert (await method(where, {"action": "ingest"} if path not in READ else None)).status_code == 404

    @pytest.mark.parametrize("path", [path for path in READ + WRITE_ONE if "{id}" in path])
    async def test_a_missing_and_a_foreign_document_are_404(self, admin, tenant, path) -> None:
        foreign = await make(DocumentFactory)
        for pk in (uuid.uuid4(), foreign.pk):
            where = url(tenant, path.format(id=pk))
            answer = await (admin.get(where) if path in READ else admin.post(where, {"title": "x"}))
            assert answer.status_code == 404

    async def test_an_id_that_is_none_is_404(self, admin, tenant) -> None:
        assert (await admin.get(url(tenant, "not-a-uuid/"))).status_code == 404

    async def test_nobody_is_sent_to_the_sign_in_page(self, client_for, tenant) -> None:
        answer = await (await client_for()).get(url(tenant))
        assert answer.status_code == 302
        assert "/accounts/login/" in answer["Location"]

    async def test_an_operator_does_not_delete(self, operator, tenant, document) -> None:
        assert (await operator.post(url(tenant, f"{document.pk}/delete/"))).status_code == 403
        answer = await operator.post(url(tenant, "bulk/"), {"action": "delete", "ids": [document.pk]})
        assert answer.status_code == 403


class TestList:
    async def test_it_shows_documents_with_their_errors(self, viewer, tenant, document) -> None:
        await make(DocumentFactory, collection=document.collection, status="failed", error="It is encrypted.")
        body = (await viewer.get(url(tenant))).content.decode()
        assert "Retention policy" in body
        assert "It is encrypted." in body

    async def test_an_empty_list_says_what_to_do_next(self, operator, tenant) -> None:
        assert "Add documents" in (await operator.get(url(tenant))).content.decode()

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("f=status:failed", {"b"}),
            ("f=-status:failed", {"a", "c"}),
            ("status=failed", {"b"}),
            ("f=collection:users", {"c"}),
            ("f=source:import&f=source:paste", {"a", "b", "c"}),
            ("q=100%25", {"a"}),
            ("q=status:failed", {"b"}),
            ("q=ID-C", {"c"}),
        ],
    )
    async def test_filters_stand_in_the_address(self, viewer, tenant, query, found) -> None:
        here = await make(CollectionFactory, tenant=tenant, table="documents")
        there = await make(CollectionFactory, tenant=tenant, table="users")
        await make(DocumentFactory, collection=here, title="a 100%", status="indexed", source="import")
        await make(DocumentFactory, collection=here, title="b", status="failed")
        await make(DocumentFactory, collection=there, title="c", external_id="id-c", status="indexed")
        page = (await viewer.get(f"{url(tenant)}?{query}")).context["page"]
        assert {row.title[0] for row in page.rows} == found

    @pytest.mark.parametrize(
        "query",
        [
            "f=colour:red",
            "f=status:green",
            "f=x",
            "f=-",
            "f=:",
            "f=status:",
            "&".join(["f=status:failed"] * 30),
            "q=%00",
            f"q={'x' * 300}",
            "after=yesterday",
            "after=_",
            "until=1_2",
        ],
    )
    async def test_a_filter_that_cannot_be_used_is_named(self, viewer, tenant, document, query) -> None:
        answer = await viewer.get(f"{url(tenant)}?{query}")
        assert answer.status_code == 400
        assert "The filter cannot be used" in answer.content.decode()

    async def test_every_document_appears_once_while_others_are_added(self, viewer, tenant, document) -> None:
        for _ in range(120):
            await make(DocumentFactory, collection=document.collection)
        seen, where = [], url(tenant)
        while where:
            answer = await viewer.get(where)
            seen += [row.id for row in answer.context["page"].rows]
            await make(DocumentFactory, collection=document.collection)
            where = answer.context.get("more_url")
        assert len(seen) == len(set(seen)) == 121

    async def test_a_page_that_is_read_again_holds_what_has_come(self, viewer, tenant, document) -> None:
        first = (await viewer.get(url(tenant))).context["rows_url"]
        newer = await make(DocumentFactory, collection=document.collection)
        rows = (await viewer.get(first)).context["page"].rows
        assert [row.id for row in rows] == [newer.pk, document.pk]

    async def test_suggestions_are_counted_within_the_other_filters(self, viewer, tenant, document) -> None:
        await make(DocumentFactory, collection=document.collection, status="failed", source="import")
        answer = await viewer.get(url(tenant, "facet/?field=status&f=source:import&f=status:indexed"))
        assert json.loads(answer.content) == {"values": [{"value": "failed", "count": 1}]}
        assert (await viewer.get(url(tenant, "facet/?field=password"))).status_code == 400


class TestUpload:
    async def test_files_become_documents_and_one_job(self, operator, tenant) -> None:
        answer = await upload(operator, tenant, file("a.md"), file("b.txt"))
        assert answer.status_code == 302
        found = [row async for row in Document.objects.order_by("external_id")]
        assert [(row.external_id, row.status, row.source) for row in found] == [
            ("a.md", DocumentStatus.PENDING, DocumentSource.UPLOAD),
            ("b.txt", DocumentStatus.PENDING, DocumentSource.UPLOAD),
        ]
        job = await Job.objects.aget()
        assert job.kind == "ingest"
        assert set(job.parameters["documents"]) == {str(row.pk) for row in found}
        assert (await TenantCollection.objects.aget()).table == "documents"

    async def test_the_bytes_are_kept_in_parts_of_a_mebibyte(self, operator, tenant) -> None:
        content = bytes(range(32, 127)) * 30_000
        await upload(operator, tenant, file("long.txt", content))
        stored = await Upload.objects.aget()
        parts = [bytes(part.data) async for part in UploadPart.objects.order_by("index")]
        assert [len(part) for part in parts[:-1]] == [1024 * 1024] * 2
        assert b"".join(parts) == content
        assert stored.size_bytes == len(content)

    async def test_the_same_name_again_is_an_update_and_said_so(self, operator, tenant) -> None:
        await upload(operator, tenant, file("a.md"))
        answer = await operator.post(
            url(tenant, "new/"), {"collection": "documents", "files": [file("a.md", b"Other")]}, follow=True
        )
        assert await Document.objects.acount() == await Upload.objects.acount() == 1
        assert "exists already and is updated" in answer.content.decode()

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("a.exe", b"MZ\x90", "ending"),
            ("a.pdf", b"plain text", "PDF"),
            ("empty.txt", b"", "empty"),
            ("x" * 240 + ".txt", b"", "empty"),
            ("photo.txt", b"\x89PNG\r\n", "picture"),
        ],
    )
    async def test_a_file_that_cannot_be_taken_is_named(self, operator, tenant, name, content, sentence) -> None:
        answer = await upload(operator, tenant, file("good.txt"), file(name, content))
        assert answer.status_code == 422
        assert sentence in answer.content.decode()
        assert not await Document.objects.aexists()
        assert not await Upload.objects.aexists()

    async def test_a_file_over_the_limit_is_refused_with_the_limit(self, operator, tenant, monkeypatch) -> None:
        monkeypatch.setattr("collections_admin.views.document_entry.MAX_UPLOAD_BYTES", 1_000_000)
        answer = await upload(operator, tenant, file("big.txt", b"x" * 1_000_001))
        assert answer.status_code == 422
        assert "at most 1 MB" in answer.content.decode()
        assert not await Upload.objects.aexists()

    async def test_too_many_files_are_refused_with_the_limit(self, operator, tenant) -> None:
        many = [file(f"{number}.txt") for number in range(limits.MAX_UPLOAD_FILES + 1)]
        assert "At most 20 files" in (await upload(operator, tenant, *many)).content.decode()
        assert not await Document.objects.aexists()

    async def test_two_files_of_one_name_are_refused_and_leave_nothing(self, operator, tenant) -> None:
        answer = await upload(operator, tenant, file("a.txt"), file("a.txt"))
        assert answer.status_code == 422
        assert not await Document.objects.aexists()
        assert not await Upload.objects.aexists()

    async def test_path_parts_of_a_name_are_stripped(self, operator, tenant) -> None:
        for name in ("../../etc/passwd.txt", "C:\\temp\\b.txt"):
            await upload(operator, tenant, file(name))
        names = {name async for name in Document.objects.values_list("external_id", flat=True)}
        assert names == {"passwd.txt", "b.txt"}

    async def test_no_file_and_a_foreign_table_are_refused(self, operator, tenant) -> None:
        assert "at least one file" in (await upload(operator, tenant)).content.decode()
        answer = await upload(operator, tenant, file("a.txt"), collection="nowhere")
        assert answer.status_code == 422
        assert not await TenantCollection.objects.aexists()

    async def test_htmx_gets_the_form_back_as_a_fragment(self, operator, tenant) -> None:
        answer = await operator.post(url(tenant, "new/"), {"collection": "documents"}, headers=HTMX)
        assert answer.status_code == 422
        assert answer["X-Fragment"] == "1"
        assert answer.content.decode().lstrip().startswith('<section class="card" id="document-entry"')


class TestPaste:
    async def paste(self, client, tenant, **fields):
        values = {"collection": "documents", "title": "Note", "text": "Some text.", "meta": "", "external_id": ""}
        return await client.post(url(tenant, "new/paste/"), values | fields)

    async def test_an_id_is_made_or_taken(self, operator, tenant) -> None:
        await self.paste(operator, tenant)
        await self.paste(operator, tenant, external_id="N-7", meta='{"a": [1, null]}')
        made, taken = [row async for row in Document.objects.order_by("created_at")]
        assert made.external_id.startswith("paste-")
        assert (taken.external_id, taken.meta, taken.rev) == ("N-7", {"a": [1, None]}, 1)

    async def test_a_known_id_is_an_update_unless_nothing_changed(self, operator, tenant) -> None:
        for text in ("One.", "One.", "Two."):
            await self.paste(operator, tenant, external_id="N-7", text=text)
        found = await Document.objects.aget()
        assert (found.content, found.rev) == ("Two.", 2)
        assert await Job.objects.acount() == 2

    @pytest.mark.parametrize(
        ("field", "value", "sentence"),
        [
            ("title", "", "required"),
            ("title", "x" * 501, "500"),
            ("title", "a\x00b", "Null"),
            ("text", " \n ", "empty"),
            ("text", "a\x00b", "Null"),
            ("external_id", "x" * 256, "255"),
            ("external_id", "two\nlines", "one line"),
            ("meta", "{", "not JSON"),
            ("meta", "[1]", "object"),
            ("meta", '{"a": NaN}', "NaN"),
            ("meta", '{"a": 1e999}', "NaN or infinite"),
            ("meta", '{"a": 9223372036854775808}', "between"),
            ("meta", '{"a": ' + "9" * 5000 + "}", "64 bits"),
            ("meta", '{"a":' * 17 + "1" + "}" * 17, "16 levels"),
            ("meta", '{"a":' * 5000 + "1" + "}" * 5000, "nested"),
            ("meta", '{"a": "\\ud800"}', "surrogate"),
            ("meta", '{"a": "' + "x" * 70_000 + '"}', "64,000"),
        ],
    )
    async def test_bad_input_names_field_and_limit_and_changes_nothing(
        self, operator, tenant, field, value, sentence
    ) -> None:
        answer = await self.paste(operator, tenant, **{field: value})
        assert answer.status_code == 422
        assert sentence in str(answer.context["form"].errors)
        assert not await Document.objects.aexists()
        assert not await Job.objects.aexists()

    async def test_a_text_over_the_limit_is_refused(self, operator, tenant) -> None:
        answer = await self.paste(operator, tenant, text="x" * (limits.MAX_TEXT_CHARS + 1))
        assert answer.status_code == 422
        assert "2,000,000" in answer.content.decode()


class TestImport:
    async def test_a_file_of_records_becomes_a_job(self, operator, tenant) -> None:
        records = file("r.jsonl", b'{"id": "1", "content": "One"}\n')
        answer = await operator.post(url(tenant, "new/import/"), {"collection": "users", "files": records})
        job = await Job.objects.aget()
        assert answer.status_code == 302
        assert str(job.pk) in answer["Location"]
        assert job.parameters["upload"] == str((await Upload.objects.aget()).pk)

    @pytest.mark.parametrize(("name", "content"), [("r.xlsx", b"x"), ("r.jsonl", b"")])
    async def test_other_files_are_refused(self, operator, tenant, name, content) -> None:
        body = {"collection": "users", "files": file(name, content)}
        assert (await operator.post(url(tenant, "new/import/"), body)).status_code == 422
        assert not await Job.objects.aexists()
        assert not await Upload.objects.aexists()


class TestEdit:
    async def edit(self, client, document, **fields):
        values = {"title": "New title", "text": "New text.", "meta": '{"k": 1}', "rev": document.rev}
        return await client.post(url(document, f"{document.pk}/edit/"), values | fields)

    async def test_it_raises_the_rev_and_queues_an_ingest(self, operator, document) -> None:
        assert (await self.edit(operator, document)).status_code == 302
        await document.arefresh_from_db()
        assert (document.title, document.content, document.meta, document.rev) == (
            "New title",
            "New text.",
            {"k": 1},
            2,
        )
        assert document.status == DocumentStatus.PENDING
        assert (await Job.objects.aget()).document_id == document.pk

    async def test_the_second_editor_sees_both_versions(self, operator, admin, document) -> None:
        await self.edit(operator, document, text="The first text.")
        answer = await self.edit(admin, document, text="The second text.")
        body = answer.content.decode()
        assert answer.status_code == 409
        assert "The first text." in body
        assert "The second text." in body
        await document.arefresh_from_db()
        assert (document.content, document.rev) == ("The first text.", 2)
        again = await self.edit(admin, document, text="The second text.", rev=answer.context["form"]["rev"].value())
        assert again.status_code == 302

    @pytest.mark.parametrize("rev", ["", "x", "0", "99999999999999999999"])
    async def test_a_rev_that_is_none_is_refused(self, operator, document, rev) -> None:
        assert (await self.edit(operator, document, rev=rev)).status_code == 422

    async def test_an_upload_is_not_edited_here(self, operator, document) -> None:
        document.source = DocumentSource.UPLOAD
        await document.asave()
        assert (await operator.get(url(document, f"{document.pk}/edit/"))).status_code == 409


class TestActions:
    @pytest.mark.parametrize(
        ("status", "action", "allowed"),
        [
            ("indexed", "archive", True),
            ("indexed", "restore", False),
            ("indexed", "ingest", True),
            ("pending", "archive", False),
            ("indexing", "ingest", False),
            ("failed", "ingest", True),
            ("failed", "archive", False),
        ],
    )
    async def test_the_state_decides(self, operator, document, status, action, allowed) -> None:
        await Document.objects.filter(pk=document.pk).aupdate(status=status)
        answer = await operator.post(url(document, f"{document.pk}/{action}/"))
        assert answer.status_code == (302 if allowed else 409)
        assert await Job.objects.acount() == allowed

    async def test_an_archiving_can_be_reverted_at_once(self, operator, document) -> None:
        await operator.post(url(document, f"{document.pk}/archive/"))
        assert (await operator.post(url(document, f"{document.pk}/restore/"))).status_code == 302
        await document.arefresh_from_db()
        assert (document.archived_at, document.rev) == (None, 3)

    async def test_actions_are_no_get(self, admin, document) -> None:
        for action in ("archive", "restore", "ingest"):
            assert (await admin.get(url(document, f"{document.pk}/{action}/"))).status_code == 405

    async def test_deleting_asks_first_and_marks(self, admin, document) -> None:
        where = url(document, f"{document.pk}/delete/")
        assert "Delete Retention policy?" in (await admin.get(where)).content.decode()
        assert (await admin.post(where)).status_code == 302
        await document.arefresh_from_db()
        assert document.deleted_at is not None
        assert (await Job.objects.aget()).kind == "delete_documents"
        assert (await admin.post(url(document, f"{document.pk}/ingest/"))).status_code == 409

    async def test_many_at_once_leave_out_what_is_not_possible(self, operator, document) -> None:
        pending = await make(DocumentFactory, collection=document.collection)
        foreign = await make(DocumentFactory, status="indexed")
        ids = [document.pk, pending.pk, foreign.pk]
        answer = await operator.post(url(document, "bulk/"), {"action": "archive", "ids": ids}, follow=True)
        job = await Job.objects.aget()
        assert job.parameters["documents"] == [str(document.pk)]
        assert "1 document left as before" in answer.content.decode()

    async def test_deleting_many_asks_first(self, admin, document) -> None:
        body = {"action": "delete", "ids": [document.pk]}
        answer = await admin.post(url(document, "bulk/"), body)
        assert "cannot be undone" in answer.content.decode()
        assert not await Job.objects.aexists()
        await admin.post(url(document, "bulk/"), body | {"confirmed": "1"})
        assert await Job.objects.filter(kind="delete_documents").aexists()

    @pytest.mark.parametrize(
        "body", [{}, {"action": "explode", "ids": ["x"]}, {"action": "archive"}, {"action": "archive", "ids": ["x"]}]
    )
    async def test_a_selection_that_cannot_be_read_is_400(self, admin, document, body) -> None:
        assert (await admin.post(url(document, "bulk/"), body)).status_code == 400

    async def test_all_failed_of_a_collection_are_ingested_by_one_job(self, operator, document) -> None:
        failed = [await make(DocumentFactory, collection=document.collection, status="failed") for _ in range(3)]
        where = url(document, "ingest-failed/")
        assert (await operator.post(where, {"collection": "documents"})).status_code == 302
        assert await Job.objects.acount() == 1
        assert await Document.objects.filter(pk__in=[row.pk for row in failed], status="pending").acount() == 3
        for missing in ("nowhere", "docu\0ments", ""):
            assert (await operator.post(where, {"collection": missing})).status_code == 404, missing


class TestText:
    async def test_a_long_text_is_cut_and_downloaded_whole(self, viewer, tenant, document) -> None:
        text = "".join(f"Line {number} with ünïcode 🌍\n" for number in range(20_000))
        await Document.objects.filter(pk=document.pk).aupdate(content=text)
        page = await viewer.get(url(tenant, f"{document.pk}/record/"))
        assert len(page.content) < 60_000
        assert f"of {len(text):,} characters" in page.content.decode()
        download = await viewer.get(url(tenant, f"{document.pk}/download/"))
        body = io.BytesIO()
        async for piece in download.streaming_content:
            body.write(piece)
        assert body.getvalue().decode() == text
        assert "attachment" in download["Content-Disposition"]

    async def test_text_is_never_html(self, viewer, tenant, document) -> None:
        await Document.objects.filter(pk=document.pk).aupdate(title="<script>1</script>", content="<script>2</script>")
        for rest in ("", f"{document.pk}/record/", f"{document.pk}/history/"):
            body = (await viewer.get(url(tenant, rest))).content
            assert b"<script>1" not in body
            assert b"<script>2" not in body
