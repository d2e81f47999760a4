"""What may be done with a document in each state: one table, asked by the buttons and by the services alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from collections_admin.models import DocumentSource, DocumentStatus


class DocumentAction(StrEnum):
    EDIT = "edit"
    INGEST = "ingest"
    ARCHIVE = "archive"
    RESTORE = "restore"
    DELETE = "delete"


_UNFINISHED = "Wait until its ingest has ended."
_RESTORE_FIRST = "Restore it first."
_LIVE = "It is not archived."
_INDEX_FIRST = "It is not in Qdrant; ingest it first."

# Why an action is refused in a state; what is not named is allowed.
REFUSALS: Mapping[str, Mapping[DocumentAction, str]] = {
    DocumentStatus.PENDING: {
        DocumentAction.ARCHIVE: _UNFINISHED,
        DocumentAction.RESTORE: _LIVE,
    },
    DocumentStatus.INDEXING: {
        DocumentAction.INGEST: "It is being ingested.",
        DocumentAction.ARCHIVE: _UNFINISHED,
        DocumentAction.RESTORE: _LIVE,
    },
    DocumentStatus.INDEXED: {DocumentAction.RESTORE: _LIVE},
    DocumentStatus.FAILED: {DocumentAction.ARCHIVE: _INDEX_FIRST, DocumentAction.RESTORE: _LIVE},
    DocumentStatus.ARCHIVED: {
        DocumentAction.EDIT: _RESTORE_FIRST,
        DocumentAction.INGEST: _RESTORE_FIRST,
        DocumentAction.ARCHIVE: "It is archived already.",
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What the table needs to know of a document."""

    status: str
    source: str
    deleted_at: datetime | None = None
    has_unread_file: bool = False
    has_text: bool = True


def refusal(document: Standing, action: DocumentAction) -> str:
    """Why the action is not possible, an empty text when it is."""
    if document.deleted_at and action != DocumentAction.DELETE:
        return "It is being deleted."
    if action == DocumentAction.EDIT:
        if document.source == DocumentSource.UPLOAD:
            return "Its text comes from a file: hand in the new file under the same name."
        if document.has_unread_file:
            return _UNFINISHED
    return REFUSALS[document.status].get(action, "")


def refusals(document: Standing) -> dict[str, str]:
    """Every action with its refusal, for a template."""
    return {action.value: refusal(document, action) for action in DocumentAction}
