"""Is everything the console needs there? Asked by `/health/`, by the header of every page and by `manage.py up`."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from django.db import Error as DatabaseFault
from django.db import connection
from django.utils import timezone
from psycopg_pool import PoolTimeout

from collections_admin.concurrency import in_thread
from collections_admin.models import Worker
from collections_admin.qdrant.health import Health as QdrantHealth
from collections_admin.qdrant.health import check_health

WORKER_SILENT_AFTER = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """`database_ms` is None when the database does not answer, `workers` counts those with a fresh heartbeat."""

    qdrant: QdrantHealth
    database_ms: float | None
    database_name: str
    workers: int | None

    @property
    def ok(self) -> bool:
        return self.qdrant.ok and self.database_ms is not None


_last: Health | None = None


def last() -> Health | None:
    """What this process saw last; pages paint it at once and ask for a fresh one afterwards."""
    return _last


async def check() -> Health:
    global _last  # noqa: PLW0603 - one remembered value per process, replaced whole
    qdrant, (database_ms, workers) = await asyncio.gather(check_health(), _check_database())
    name = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    _last = Health(qdrant=qdrant, database_ms=database_ms, database_name=name, workers=workers)
    return _last


@in_thread
def _check_database() -> tuple[float | None, int | None]:
    started = time.perf_counter()
    try:
        alive = Worker.objects.filter(heartbeat_at__gte=timezone.now() - WORKER_SILENT_AFTER).count()
    except (DatabaseFault, PoolTimeout):
        return None, None
    return (time.perf_counter() - started) * 1000, alive
