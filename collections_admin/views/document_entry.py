"""New documents: files, a pasted text, a file of records."""

from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.utils.datastructures import MultiValueDict

from collections_admin.access import Need, Shell, open_tenant
from collections_admin.concurrency import in_transaction
from collections_admin.errors import Conflict, ConsoleError, InvalidInput
from collections_admin.forms.documents import CollectionForm, PasteForm
from collections_admin.forms.fields import add_invalid
from collections_admin.jobs.kinds.import_records import refuse_foreign_file, start_import
from collections_admin.jobs.kinds.ingest import start
from collections_admin.limits import (
    MAX_IMPORT_BYTES,
    MAX_RECORDS,
    MAX_TEXT_CHARS,
    MAX_UPLOAD_BYTES,
    MAX_UPLOAD_FILES,
    MEGABYTE,
)
from collections_admin.models import TenantCollection
from collections_admin.services import documents
from collections_admin.services.collection_settings import CollectionSettings
from collections_admin.services.documents import Saved
from collections_admin.services.parsing import ACCEPTED, MEDIA_TYPES, detect_media_type
from collections_admin.services.tenant_collections import lock_for_writing, register, tables_of
from collections_admin.services.uploads import (
    PART_BYTES,
    StoredUpload,
    clean_file_name,
    discard_uploads,
    store_upload,
    sweep_unclaimed,
)
from collections_admin.views.answers import form_page, form_view, go, posted

DEFAULT_TABLE = "documents"
HEAD_BYTES = 1024
LIMITS = {
    "upload_bytes": MAX_UPLOAD_BYTES,
    "upload_files": MAX_UPLOAD_FILES,
    "import_bytes": MAX_IMPORT_BYTES,
    "records": MAX_RECORDS,
    "chars": MAX_TEXT_CHARS,
    "accepted": ACCEPTED,
    "endings": ",".join(MEDIA_TYPES),
}


@form_view
async def document_create(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """Files, each a document with the file's name as external id."""
    shell, form = await _open(request, tenant_id, CollectionForm)
    if request.method == "POST" and form.is_valid():
        try:
            saved = await _accept(shell, form.cleaned_data["collection"], request.FILES)
        except (InvalidInput, Conflict) as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _handed_in(saved))
            return _go_to(request, shell, saved)
    return _page(request, "upload", form)


async def _accept(shell: Shell, table: str, sent: MultiValueDict) -> list[Saved]:
    files = sent.getlist("files")
    _check_files(files)
    collection = await _collection(shell, table)
    stored: list[StoredUpload] = []
    try:
        for file in files:
            stored += [await _store(shell, file, MAX_UPLOAD_BYTES)]
        return await documents.accept_files(collection, stored, by=shell.user, enqueue=start("ingest", shell.user))
    except ConsoleError:
        await discard_uploads([upload.id for upload in stored])
        raise


def _check_files(files: list[UploadedFile]) -> None:
    """All or nothing: one file that cannot be taken leaves the others out too."""
    if not files:
        raise InvalidInput("files", "Choose at least one file.")
    if len(files) > MAX_UPLOAD_FILES:
        raise InvalidInput("files", f"At most {MAX_UPLOAD_FILES} files at once; these are {len(files)}.")
    for file in files:
        _check_size(file, MAX_UPLOAD_BYTES)
        head = file.read(HEAD_BYTES)
        file.seek(0)
        detect_media_type(head, file_name=clean_file_name(file.name), media_type=file.content_type)


def _check_size(file: UploadedFile, max_bytes: int) -> None:
    if not file.size:
        raise InvalidInput("files", f"{file.name} is empty.")
    if file.size > max_bytes:
        raise InvalidInput(
            "files",
            f"{file.name} has {file.size / MEGABYTE:,.1f} MB; at most {max_bytes // MEGABYTE} MB are taken.",
        )


async def _store(shell: Shell, file: UploadedFile, max_bytes: int) -> StoredUpload:
    return await store_upload(
        shell.tenant,
        file_name=file.name,
        media_type=file.content_type or "",
        pieces=file.chunks(PART_BYTES),
        max_bytes=max_bytes,
    )


@form_view
async def document_paste(request: HttpRequest, tenant_id: int) -> HttpResponse:
    shell, form = await _open(request, tenant_id, PasteForm)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            collection = await _collection(shell, data["collection"])
            saved = await documents.paste(
                collection,
                data["written"],
                external_id=data["external_id"],
                by=shell.user,
                enqueue=start("ingest", shell.user),
            )
        except InvalidInput as error:
            add_invalid(form, error)
        except Conflict as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _handed_in([saved]))
            return _go_to(request, shell, [saved])
    return _page(request, "paste", form)


@form_view
async def document_import(request: HttpRequest, tenant_id: int) -> HttpResponse:
    """One file of records; its job makes the documents."""
    shell, form = await _open(request, tenant_id, CollectionForm)
    if request.method == "POST" and form.is_valid():
        try:
            job = await _start_import(shell, form.cleaned_data["collection"], request.FILES.getlist("files"))
        except (InvalidInput, Conflict) as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, "The import has been queued. Its page shows what becomes of each record.")
            return go(request, "job-detail", tenant_id=tenant_id, job_id=job.pk)
    return _page(request, "import", form)


async def _start_import(shell: Shell, table: str, files: list[UploadedFile]) -> Any:
    if len(files) != 1:
        raise InvalidInput("files", "Choose one file of records.")
    refuse_foreign_file(clean_file_name(files[0].name))
    _check_size(files[0], MAX_IMPORT_BYTES)
    collection = await _collection(shell, table)
    stored = await _store(shell, files[0], MAX_IMPORT_BYTES)
    try:
        return await _add_import(collection, stored, shell)
    except ConsoleError:
        await discard_uploads([stored.id])
        raise


@in_transaction
def _add_import(collection: TenantCollection, stored: StoredUpload, shell: Shell) -> Any:
    lock_for_writing(collection.pk)
    return start_import(collection, stored, by=shell.user)


# ---- shared by the three


async def _open(request: HttpRequest, tenant_id: int, kind: type[CollectionForm]) -> tuple[Shell, CollectionForm]:
    shell = await open_tenant(request, tenant_id, Need.WRITE, active="documents")
    tables = await tables_of(shell.tenant)
    wanted = request.GET.get("collection", "")
    initial = {"collection": wanted if wanted in tables else DEFAULT_TABLE}
    return shell, kind(posted(request), tables=tables, initial=initial)


async def _collection(shell: Shell, table: str) -> TenantCollection:
    """The registry row; Qdrant gets its collection from the job, also when it does not answer now."""
    await sweep_unclaimed(shell.tenant)
    row, _ = await register(shell.tenant, table, CollectionSettings(), actor=shell.user)
    return await TenantCollection.objects.select_related("tenant").aget(pk=row.pk)


def _page(request: HttpRequest, tab: str, form: CollectionForm) -> HttpResponse:
    context = {"form": form, "tab": tab, "limits": LIMITS, "chosen": form["collection"].value() or ""}
    return form_page(request, "documents/new.html", "documents/_entry.html", context)


def _handed_in(saved: list[Saved]) -> str:
    if len(saved) == 1:
        name = saved[0].external_id
        return {
            "created": f"{name} is handed in; its ingest is queued.",
            "updated": f"{name} exists already and is updated; its ingest is queued.",
            "unchanged": f"{name} exists already with this very text: nothing to do.",
        }[saved[0].outcome]
    updated = sum(one.outcome == "updated" for one in saved)
    text = f"{len(saved)} files are handed in; their ingest is queued."
    return f"{text} {updated} of them exist already and are updated." if updated else text


def _go_to(request: HttpRequest, shell: Shell, saved: list[Saved]) -> HttpResponse:
    if len(saved) == 1:
        return go(request, "document-detail", tenant_id=shell.tenant.pk, document_id=saved[0].document_id)
    return go(request, "document-list", tenant_id=shell.tenant.pk)
