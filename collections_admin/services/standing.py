"""Where a point stands against the database's row of the chunk: one word, and a sentence about it."""

from enum import Enum
from typing import Any, Protocol

from collections_admin.models import ChunkState


class Standing(Enum):
    """Name on the page, class of its pill, what it means."""

    SAME = ("Same", "ok", "Text, model and revision equal the database row.")
    PENDING = ("Pending", "run", "The database has a newer state that Qdrant has not confirmed yet.")
    DELETING = ("Deleting", "warn", "The chunk is being removed from Qdrant.")
    STALE_TEXT = ("Stale text", "warn", "The text differs from the database row.")
    WRONG_MODEL = ("Wrong model", "bad", "The vector was made by another model than the database says.")
    OLD_REVISION = ("Old revision", "warn", "The text is the same, but the record was changed since.")
    MISSING_IN_DATABASE = ("Not in database", "warn", "Qdrant holds a point that the database does not know.")
    MISSING_IN_QDRANT = ("Not in Qdrant", "bad", "The database has the chunk, Qdrant has no point for it.")
    UNREADABLE = ("Unreadable", "bad", "Qdrant holds the point, but its payload cannot be read.")
    UNKNOWN = ("Unknown", "idle", "Qdrant does not answer, so the two cannot be compared.")

    def __init__(self, word: str, kind: str, meaning: str) -> None:
        self.word = word
        self.kind = kind
        self.meaning = meaning


class BridgeRow(Protocol):
    content: str
    embedding_model: str
    state: str
    rev: int


def compare(payload: dict[str, Any], row: BridgeRow | None, model: str) -> Standing:
    """`model` is the one of the collection: searches embed with it, whatever point and row agree on."""
    if row is None:
        return Standing.MISSING_IN_DATABASE
    if row.state == ChunkState.DELETING:
        return Standing.DELETING
    if row.state == ChunkState.PENDING:
        return Standing.PENDING
    if payload.get("content") != row.content:
        return Standing.STALE_TEXT
    if payload.get("embedding_model") != row.embedding_model or row.embedding_model != model:
        return Standing.WRONG_MODEL
    return Standing.SAME if payload.get("rev", row.rev) == row.rev else Standing.OLD_REVISION
