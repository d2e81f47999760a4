"""Notices of changed jobs, sent by the transaction that changes them (PostgreSQL; SQLite is polled)."""

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection

from collections_admin.models.jobs import Job

CHANGES_CHANNEL = "console_job_changes"
WAKE_CHANNEL = "console_job_wake"

_FIELDS = (
    "id",
    "tenant_id",
    "collection_id",
    "document_id",
    "version",
    "status",
    "kind",
    "progress_done",
    "progress_total",
    "progress_unit",
    "progress_message",
)


def hints(jobs: Any) -> list[dict[str, Any]]:
    """The messages that browsers get about the jobs of a queryset; `tenant` is for routing."""
    return [_hint(row) for row in jobs.values(*_FIELDS)]


def announce(job_ids: Iterable[UUID]) -> None:
    if connection.vendor == "postgresql":
        changed = hints(Job.objects.filter(pk__in=list(job_ids)).order_by())
        _notify((CHANGES_CHANNEL, json.dumps(hint)) for hint in changed)


def wake_workers() -> None:
    if connection.vendor == "postgresql":
        _notify([(WAKE_CHANNEL, "")])


def _notify(messages: Iterable[tuple[str, str]]) -> None:
    with connection.cursor() as cursor:
        for message in messages:
            cursor.execute("SELECT pg_notify(%s, %s)", message)


def _hint(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "job",
        "id": str(row["id"]),
        "tenant": row["tenant_id"],
        "collection": row["collection_id"],
        "document": str(row["document_id"]) if row["document_id"] else None,
        "version": row["version"],
        "status": row["status"],
        "kind": row["kind"],
        "progress": {
            "done": row["progress_done"],
            "total": row["progress_total"],
            "unit": row["progress_unit"],
            "message": row["progress_message"],
        },
    }
