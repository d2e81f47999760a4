"""States of jobs, documents, chunks and collections as class, word and explanation."""

from typing import NamedTuple


class Shown(NamedTuple):
    kind: str  # ok, warn, bad, run, idle
    word: str
    meaning: str


STATES = {
    # jobs
    "queued": Shown("idle", "Queued", "Waits for a worker"),
    "running": Shown("run", "Running", "A worker is on it"),
    "retrying": Shown("warn", "Retrying", "An attempt failed; the next one is planned"),
    "cancelling": Shown("warn", "Cancelling", "A person asked to stop; the worker ends its step"),
    "succeeded": Shown("ok", "Succeeded", "Done"),
    "failed": Shown("bad", "Failed", "Stopped by an error; the page of it says why"),
    "cancelled": Shown("idle", "Cancelled", "Stopped by a person"),
    # documents and chunks
    "pending": Shown("idle", "Pending", "Waits for its ingest"),
    "indexing": Shown("run", "Indexing", "A worker writes its chunks to Qdrant"),
    "indexed": Shown("ok", "Indexed", "All its chunks are in Qdrant"),
    "archived": Shown("idle", "Archived", "Kept, but left out of searches"),
    "settled": Shown("ok", "Settled", "Qdrant confirmed the point"),
    "deleting": Shown("warn", "Deleting", "Its points are being removed"),
    "same": Shown("ok", "Same", "Text and model equal the database row"),
    "stale": Shown("warn", "Stale text", "The database row is newer than the point"),
    "wrong_model": Shown("bad", "Wrong model", "Embedded by another model than the collection's"),
    # collections
    "green": Shown("ok", "Green", "All points are indexed"),
    "yellow": Shown("warn", "Yellow", "Optimizing: searches work, some points are not indexed yet"),
    "grey": Shown("idle", "Grey", "Optimizations wait for the next write"),
    "red": Shown("bad", "Red", "An optimizer failed"),
    "missing": Shown("bad", "Missing", "In the registry but not in Qdrant"),
    "unregistered": Shown("warn", "Unregistered", "In Qdrant but not in the registry"),
    "unknown": Shown("idle", "Unknown", "Qdrant did not answer"),
    # tenants and people
    "active": Shown("ok", "Active", "In use"),
    "inactive": Shown("idle", "Inactive", "Can be read, not changed"),
    "pass": Shown("ok", "PASS", "All thresholds hold"),
    "fail": Shown("bad", "FAIL", "A threshold is broken"),
}

KINDS = {
    "ok": "ok",
    "success": "ok",
    "run": "run",
    "info": "run",
    "warn": "warn",
    "warning": "warn",
    "bad": "bad",
    "error": "bad",
    "danger": "bad",
    "idle": "idle",
    "debug": "idle",
}

KIND_ICONS = {"ok": "success", "run": "info", "warn": "warning", "bad": "error", "idle": "info"}


def shown(state: str) -> Shown:
    key = state.casefold().replace(" ", "_").replace("-", "_")
    return STATES.get(key) or Shown("idle", state.replace("_", " ").capitalize() or "Unknown", "")


def kind_of(word: str) -> str:
    """One of the five kinds, from one of them or from the name of a message level."""
    return KINDS.get(str(word), "run")
