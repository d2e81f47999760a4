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
_NOT_ARCHIVED = "It is not archived."

# Why an action is refused in a state; what is not named is allowed.
REFUSALS: Mapping[str, Mapping[DocumentAction, str]] = {
    DocumentStatus.PENDING: {
        DocumentAction.ARCHIVE: _UNFINISHED,
        DocumentAction.RESTORE: _NOT_ARCHIVED,
    },
    DocumentStatus.INDEXING: {
        DocumentAction.INGEST: "A worker is at it.",
        DocumentAction.ARCHIVE: _UNFINISHED,
        DocumentAction.RESTORE: _NOT_ARCHIVED,
    },
    DocumentStatus.INDEXED: {DocumentAction.RESTORE: _NOT_ARCHIVED},
    DocumentStatus.FAILED: {
        DocumentAction.ARCHIVE: "Qdrant does not hold all of it; ingest it first.",
        DocumentAction.RESTORE: _NOT_ARCHIVED,
    },
    DocumentStatus.ARCHIVED: {
        DocumentAction.EDIT: _RESTORE_FIRST,
        DocumentAction.INGEST: _RESTORE_FIRST,
        DocumentAction.ARCHIVE: "It is archived already.",
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What the table needs to know of a document. `archived_at` is the wish, `status` what Qdrant has of it."""

    status: str
    source: str
    archived_at: datetime | None = None
    deleted_at: datetime | None = None
    has_unread_file: bool = False

    @property
    def state(self) -> str:
        """The row of the table: what is on its way counts as done, and can be reverted at once."""
        if self.archived_at and self.status != DocumentStatus.FAILED:
            return DocumentStatus.ARCHIVED
        if self.status == DocumentStatus.ARCHIVED:
            return DocumentStatus.INDEXED
        return self.status

    @property
    def shown(self) -> str:
        """The word on its pill."""
        if self.deleted_at:
            return "deleting"
        if self.status in {DocumentStatus.INDEXED, DocumentStatus.INDEXING} and self.archived_at:
            return "archiving"
        return "restoring" if self.status == DocumentStatus.ARCHIVED and not self.archived_at else self.status

    @property
    def is_moving(self) -> bool:
        """A job is at it, or will be."""
        return self.shown in {"pending", "indexing", "archiving", "restoring", "deleting"}


def refusal(document: Standing, action: DocumentAction) -> str:
    """Why the action is not possible, an empty text when it is."""
    if document.deleted_at and action != DocumentAction.DELETE:
        return "It is being deleted."
    if action == DocumentAction.RESTORE and document.archived_at:
        return ""
    if action == DocumentAction.EDIT:
        if document.source == DocumentSource.UPLOAD:
            return "Its text comes from a file: hand in the new file under the same name."
        if document.has_unread_file:
            return _UNFINISHED
    return REFUSALS[document.state].get(action, "")


def refusals(document: Standing) -> dict[str, str]:
    """Every action with its refusal, for a template."""
    return {action.value: refusal(document, action) for action in DocumentAction}
