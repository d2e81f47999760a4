"""Documents: handing in, changing, archiving, deleting. What is read for pages stands in `document_pages`.

A change and the job that carries it to Qdrant belong into one transaction; services do not know jobs, so every function
is given `enqueue`, which is called inside the transaction with the documents concerned.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from secrets import token_hex
from typing import Any, NoReturn
from uuid import UUID

from django.utils import timezone

from collections_admin.concurrency import in_transaction
from collections_admin.errors import Conflict, InvalidInput, NotFound
from collections_admin.limits import MAX_EXTERNAL_ID_CHARS, MAX_TEXT_CHARS, MAX_TITLE_CHARS
from collections_admin.models import Document, DocumentSource, DocumentStatus, Job, Tenant, TenantCollection, User
from collections_admin.services import audit
from collections_admin.services.document_actions import DocumentAction, Standing, refusal
from collections_admin.services.ingest_rows import document_hash
from collections_admin.services.records import Record
from collections_admin.services.tenant_collections import lock_for_writing
from collections_admin.services.uploads import StoredUpload, remove_uploads
from collections_admin.services.validation import check_external_id, check_payload, clean_text

Enqueue = Callable[[Sequence[Document]], Any]
MAX_SELECTED = 1_000
WAITING = (DocumentStatus.PENDING, DocumentStatus.INDEXING)


class EditConflict(Conflict):
    """Somebody else saved the document first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentText:
    """What a person may write; checked."""

    title: str
    text: str
    meta: dict[str, Any]

    @classmethod
    def checked(cls, *, title: object, text: object, meta: object) -> "DocumentText":
        """Raises InvalidInput naming `title`, `text` or a path in `meta`."""
        return cls(
            title=" ".join(clean_text(title, "title", MAX_TITLE_CHARS).split()),
            text=clean_text(text, "text", MAX_TEXT_CHARS),
            meta=check_payload(meta),
        )

    @property
    def hash(self) -> str:
        return document_hash(self.title, self.text, self.meta)


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """`outcome` is created, updated or unchanged."""

    document_id: UUID
    external_id: str
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedRecords:
    """What a batch of imported records did; `to_ingest` also holds unchanged ones that Qdrant does not have yet."""

    created: int
    updated: int
    unchanged: int
    to_ingest: list[UUID]
    problems: list[tuple[int, str]]  # line, sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """`refused` are titles with the reason."""

    done: int
    refused: list[tuple[str, str]]


def parse_meta(text: str, field: str = "meta") -> dict[str, Any]:
    """Metadata written as JSON; nothing is an empty object. Raises InvalidInput."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_number, parse_int=_integer)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(field, f"It is not JSON: {error.msg} ({place}).") from error
    except RecursionError as error:
        raise InvalidInput(field, "It is nested too deeply.") from error
    return check_payload(value, field)


def _refuse_number(name: str) -> NoReturn:
    raise InvalidInput("meta", f"{name} is not a number that can be stored.")


def _integer(digits: str) -> int:
    if len(digits) > 20:  # Python refuses thousands of digits with an error of its own
        raise InvalidInput("meta", "A whole number must fit into 64 bits.")
    return int(digits)


# ---- handing in


@in_transaction
def accept_files(
    collection: TenantCollection, files: Sequence[StoredUpload], *, by: User | None, enqueue: Enqueue
) -> list[Saved]:
    """Make files the next text of the documents with their names; a job reads them. Raises Conflict or InvalidInput."""
    _check_names_differ(files)
    existing = _locked_by_external_id(collection, [file.file_name for file in files])
    documents = [_with_file(collection, existing.get(file.file_name), file, by) for file in files]
    enqueue(documents)
    outcomes = ["updated" if file.file_name in existing else "created" for file in files]
    for document, outcome in zip(documents, outcomes, strict=True):
        _trace(by, document, "upload", after={"outcome": outcome})
    return [
        Saved(document_id=document.pk, external_id=document.external_id, outcome=outcome)
        for document, outcome in zip(documents, outcomes, strict=True)
    ]


def _check_names_differ(files: Sequence[StoredUpload]) -> None:
    names = [file.file_name for file in files]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise InvalidInput("files", f"Two of the files have the name {twice}: hand them in one after the other.")


def _with_file(
    collection: TenantCollection, document: Document | None, file: StoredUpload, by: User | None
) -> Document:
    if document is None:
        document = Document(
            tenant_id=collection.tenant_id,
            collection=collection,
            external_id=file.file_name,
            title=(PurePath(file.file_name).stem or file.file_name)[:MAX_TITLE_CHARS],
            size_bytes=file.size_bytes,
            created_by=by,
        )
    elif document.upload_id:
        remove_uploads([document.upload_id])
    document.source, document.file_name = DocumentSource.UPLOAD, file.file_name
    document.media_type, document.upload_id = file.media_type, file.id
    document.status, document.error = DocumentStatus.PENDING, ""
    document.save()
    return document


@in_transaction
def paste(
    collection: TenantCollection,
    written: DocumentText,
    *,
    external_id: str = "",
    by: User | None,
    enqueue: Enqueue,
) -> Saved:
    """Create the document, or update the one that has this external id. Raises Conflict or InvalidInput."""
    wanted = check_external_id(external_id, "external_id") if external_id else f"paste-{token_hex(5)}"
    document = _locked_by_external_id(collection, [wanted]).get(wanted)
    if document is None:
        document = _new_document(collection, wanted, written, source=DocumentSource.PASTE, by=by)
        document.save()
        outcome = "created"
    else:
        outcome = _rewrite(document, written, source=DocumentSource.PASTE)
    if outcome != "unchanged":
        _trace(by, document, "paste", after={"outcome": outcome, "rev": document.rev})
        enqueue([document])
    return Saved(document_id=document.pk, external_id=wanted, outcome=outcome)


def _new_document(
    collection: TenantCollection, external_id: str, written: DocumentText, *, source: str, by: User | None
) -> Document:
    return Document(
        tenant_id=collection.tenant_id,
        collection=collection,
        external_id=external_id,
        title=written.title,
        source=source,
        media_type="text/plain",
        content=written.text,
        content_hash=written.hash,
        meta=written.meta,
        size_bytes=len(written.text.encode()),
        created_by=by,
    )


def _rewrite(document: Document, written: DocumentText, *, source: str) -> str:
    """The outcome: updated, or unchanged when nothing differs and no file is waiting to be read."""
    if document.content_hash == written.hash and document.upload_id is None:
        return "unchanged"
    if document.upload_id:
        remove_uploads([document.upload_id])
    document.rev += 1
    document.title, document.content, document.meta = written.title, written.text, written.meta
    document.content_hash, document.size_bytes = written.hash, len(written.text.encode())
    document.source, document.media_type = source, "text/plain"
    document.file_name, document.upload = "", None
    document.status, document.error = DocumentStatus.PENDING, ""
    document.save()
    return "updated"


def save_records(collection: TenantCollection, records: Sequence[Record], *, by: User | None) -> SavedRecords:
    """Inside a transaction: records with different ids become documents, or updates of those with the same ids."""
    existing = _locked_by_external_id(collection, [record.external_id for record in records], refuse=False)
    created: list[Document] = []
    counts: dict[str, int] = defaultdict(int)
    to_ingest, problems = [], []
    for record in records:
        written = DocumentText(title=_record_title(record), text=record.content, meta=record.meta)
        document = existing.get(record.external_id)
        if document is None:
            created.append(_new_document(collection, record.external_id, written, source=DocumentSource.IMPORT, by=by))
            to_ingest.append(created[-1].pk)
        elif document.deleted_at:
            problems.append((record.line, f"The document {record.external_id} is being deleted."))
        else:
            outcome = _rewrite(document, written, source=DocumentSource.IMPORT)
            counts[outcome] += 1
            if outcome == "updated" or document.indexed_rev != document.rev:
                to_ingest.append(document.pk)
    Document.objects.bulk_create(created, batch_size=200)
    return SavedRecords(
        created=len(created),
        updated=counts["updated"],
        unchanged=counts["unchanged"],
        to_ingest=to_ingest,
        problems=problems,
    )


def _record_title(record: Record) -> str:
    return " ".join(record.title.split()) or record.external_id[:MAX_EXTERNAL_ID_CHARS]


def _locked_by_external_id(
    collection: TenantCollection, external_ids: Collection[str], *, refuse: bool = True
) -> dict[str, Document]:
    """Whoever adds documents to a collection holds its row: two people cannot create the same external id."""
    lock_for_writing(collection.pk)
    rows = Document.objects.filter(collection=collection, external_id__in=external_ids)
    found = {document.external_id: document for document in rows.select_for_update().order_by("pk")}
    if refuse and (gone := next((row for row in found.values() if row.deleted_at), None)):
        raise Conflict(f"{gone.external_id} is being deleted; hand it in again when that has ended.")
    return found


# ---- changing


@in_transaction
def update_document(
    tenant: Tenant, document_id: UUID, written: DocumentText, *, rev: int, by: User, enqueue: Enqueue
) -> Saved:
    """Replace title, text and metadata. Raises NotFound, Conflict, or EditConflict when `rev` is not the latest."""
    document = _locked(tenant, document_id)
    _demand(document, DocumentAction.EDIT)
    if document.rev != rev:
        raise EditConflict("Somebody else has saved this document since you opened it. Nothing of yours is saved.")
    before = {"title": document.title, "rev": document.rev}
    outcome = _rewrite(document, written, source=document.source)
    if outcome == "updated":
        _trace(by, document, "edit", before=before, after={"title": document.title, "rev": document.rev})
        enqueue([document])
    return Saved(document_id=document.pk, external_id=document.external_id, outcome=outcome)


@in_transaction
def change_document(
    tenant: Tenant, document_id: UUID, action: DocumentAction, *, by: User, enqueue: Enqueue
) -> Document:
    """Ingest, archive, restore or delete one document. Raises NotFound, or Conflict with the reason."""
    document = _locked(tenant, document_id)
    _demand(document, action)
    _apply(document, action, by)
    enqueue([document])
    return document


@in_transaction
def change_documents(
    tenant: Tenant, document_ids: Collection[UUID], action: DocumentAction, *, by: User, enqueue: Enqueue
) -> Changed:
    """The same for many; those whose state does not allow it are left as they are and named."""
    rows = Document.objects.filter(tenant=tenant, pk__in=document_ids).select_related("collection")
    documents = list(rows.select_for_update(of=("self",)).order_by("pk").defer("content"))
    refused = [(row.title, reason) for row in documents if (reason := refusal(standing(row), action))]
    allowed = [row for row in documents if not refusal(standing(row), action)]
    for document in allowed:
        _apply(document, action, by)
    for group in _by_collection(allowed):
        enqueue(group)
    return Changed(done=len(allowed), refused=refused)


@in_transaction
def ingest_failed(collection: TenantCollection, *, by: User, enqueue: Callable[[], Any]) -> int:
    """Have all failed documents of a collection ingested again. Returns how many there are."""
    failed = Document.objects.filter(collection=collection, status=DocumentStatus.FAILED, deleted_at=None)
    count = failed.update(status=DocumentStatus.PENDING, error="")
    if count:
        audit.record(by, collection.tenant, "document.ingest", f"{count} failed of {collection.table}")
        enqueue()
    return count


@in_transaction
def ingest_waiting(collection: TenantCollection, *, by: User, enqueue: Callable[[], Job]) -> Job | None:
    """One job for all pending documents of a collection, None when there are none. Raises NotFound or Conflict."""
    lock_for_writing(collection.pk)
    waiting = Document.objects.filter(collection=collection, status__in=WAITING, deleted_at=None).count()
    if not waiting:
        return None
    audit.record(by, collection.tenant, "document.ingest", f"{waiting} pending of {collection.table}")
    return enqueue()


def standing(document: Document) -> Standing:
    return Standing(
        status=document.status,
        source=document.source,
        archived_at=document.archived_at,
        deleted_at=document.deleted_at,
        has_unread_file=document.upload_id is not None,
    )


def _demand(document: Document, action: DocumentAction) -> None:
    if reason := refusal(standing(document), action):
        raise Conflict(f"{document.title}: {reason}")


def _apply(document: Document, action: DocumentAction, by: User) -> None:
    """The part of an action that the database does at once; the job does the rest."""
    now = timezone.now()
    match action:
        case DocumentAction.INGEST:
            document.status, document.error = DocumentStatus.PENDING, ""
        case DocumentAction.ARCHIVE:
            document.archived_at, document.rev = now, document.rev + 1
        case DocumentAction.RESTORE:
            document.archived_at, document.rev = None, document.rev + 1
        case DocumentAction.DELETE:
            document.deleted_at, document.rev, document.error = now, document.rev + 1, ""
    document.save(update_fields=["status", "error", "archived_at", "deleted_at", "rev", "updated_at"])
    _trace(by, document, action.value)


def _by_collection(documents: Sequence[Document]) -> list[list[Document]]:
    groups: dict[int, list[Document]] = defaultdict(list)
    for document in documents:
        groups[document.collection_id].append(document)
    return list(groups.values())


def _locked(tenant: Tenant, document_id: UUID) -> Document:
    rows = Document.objects.select_related("collection").select_for_update(of=("self",))
    document = rows.filter(tenant=tenant, pk=document_id).first()
    if document is None:
        raise NotFound
    return document


def _trace(by: User | None, document: Document, verb: str, **more: Any) -> None:
    target = f"{document.collection.table}/{document.external_id}"
    audit.record(by, document.collection.tenant, f"document.{verb}", target, **more)
