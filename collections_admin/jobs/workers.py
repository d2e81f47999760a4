"""The table of worker processes: each says every few seconds that it lives."""

import os
import socket
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from collections_admin.models.jobs import Worker

STALE_AFTER = timedelta(minutes=2)


def new_row(worker_id: UUID, *, concurrency: int) -> Worker:
    host, pid = socket.gethostname()[:100], os.getpid()
    return Worker(id=worker_id, name=f"{host}:{pid}", host=host, pid=pid, concurrency=concurrency)


def beat(row: Worker) -> None:
    """Write the row, also when another worker has swept it meanwhile."""
    row.heartbeat_at = timezone.now()
    known = Worker.objects.filter(pk=row.pk)
    if not known.update(heartbeat_at=row.heartbeat_at, is_stopping=row.is_stopping):
        row.save(force_insert=True)


def sweep() -> None:
    Worker.objects.filter(heartbeat_at__lt=timezone.now() - STALE_AFTER).delete()


def remove(worker_id: UUID) -> None:
    Worker.objects.filter(pk=worker_id).delete()
