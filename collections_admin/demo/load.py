"""Loads the demo through the doors of everybody's data: tenants, members, collections, an upload, an import."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from collections_admin.concurrency import in_transaction
from collections_admin.demo.texts import Record, docstrings, reference_topics
from collections_admin.jobs.kinds.import_records import start_import
from collections_admin.limits import MAX_IMPORT_BYTES
from collections_admin.models import Chunk, DataTable, Job, JobStatus, Membership, Role, Tenant, User
from collections_admin.services.tenant_collections import ensure
from collections_admin.services.uploads import PART_BYTES, store_upload

POLL_SECONDS = 1.0
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    slug: str
    table: str
    file_name: str
    records: Callable[[], Iterable[Record]]


OWN_TABLE = "api_reference"
TENANTS = {"northwind": "Northwind", "tailspin": "Tailspin"}
DATA_SETS = (
    DataSet(slug="northwind", table="documents", file_name="python-reference.jsonl", records=reference_topics),
    DataSet(slug="northwind", table=OWN_TABLE, file_name="library-a-k.jsonl", records=partial(docstrings, "a", "k")),
    DataSet(slug="tailspin", table=OWN_TABLE, file_name="library-l-z.jsonl", records=partial(docstrings, "l", "z")),
)


async def load(*, say: Say) -> None:
    """Fill what is missing and tell the progress until all is indexed. What is there already stays as it is."""
    tenants, password = await _tenants_and_members()
    if password:
        people = ", ".join(f"{role.value}@{slug}.example" for slug in TENANTS for role in Role)
        say(f"demo accounts: {people}")
        say(f"their password: {password}   (shown this once)")
    started = [await _start(tenants[data_set.slug], data_set, say) for data_set in DATA_SETS]
    jobs = [job for job in started if job is not None]
    if not jobs:
        say("the demo data is already there")
        return
    await _follow(jobs, say)
    chunks = await Chunk.objects.filter(document__tenant__in=tenants.values()).acount()
    say(f"the demo is loaded: {chunks:,} chunks of real text")


async def _start(tenant: Tenant, data_set: DataSet, say: Say) -> Job | None:
    """The import of this data set, or None when one has succeeded before."""
    imports = Job.objects.filter(tenant=tenant, kind="import", subject=data_set.file_name)
    known = await imports.filter(status__in=[JobStatus.SUCCEEDED, JobStatus.RUNNING, JobStatus.QUEUED]).afirst()
    if known is not None:
        return None if known.status == JobStatus.SUCCEEDED else known
    say(f"reading {data_set.file_name} …")
    ensured = await ensure(tenant, table=data_set.table)
    lines = await asyncio.to_thread(list, _pieces(data_set.records()))
    stored = await store_upload(
        tenant,
        file_name=data_set.file_name,
        media_type="application/x-ndjson",
        pieces=lines,
        max_bytes=MAX_IMPORT_BYTES,
    )
    return await in_transaction(start_import)(ensured.collection, stored, by=None)


def _pieces(records: Iterable[Record]) -> Iterator[bytes]:
    pending = bytearray()
    for record in records:
        pending += json.dumps(record, ensure_ascii=False).encode() + b"\n"
        while len(pending) >= PART_BYTES:
            yield bytes(pending[:PART_BYTES])
            del pending[:PART_BYTES]
    if pending:
        yield bytes(pending)


async def _follow(jobs: list[Job], say: Say) -> None:
    last: dict[str, str] = {}
    open_ids = [job.pk for job in jobs]
    while open_ids:
        async for job in Job.objects.filter(pk__in=open_ids).select_related("tenant"):
            line = f"{job.tenant.name} {job.subject}: {_state(job)}"
            if last.get(job.pk) != line:
                last[job.pk] = line
                say(line)
            if not job.is_open:
                open_ids.remove(job.pk)
        await asyncio.sleep(POLL_SECONDS)


def _state(job: Job) -> str:
    if job.status == JobStatus.RUNNING and job.progress_done:
        total = f" of {job.progress_total:,}" if job.progress_total else ""
        return f"{job.progress_done:,}{total} {job.progress_unit}"
    return f"{job.get_status_display().lower()} {job.error}".rstrip()


@in_transaction
def _tenants_and_members() -> tuple[dict[str, Tenant], str]:
    """The demo tenants with a member in each role; the password of accounts made just now, else an empty text."""
    tenants = {}
    password = secrets.token_urlsafe(9)
    made_any = False
    for slug, name in TENANTS.items():
        tenants[slug], _ = Tenant.objects.get_or_create(slug=slug, defaults={"name": name})
        DataTable.objects.get_or_create(tenant=tenants[slug], name=OWN_TABLE)
        for role in Role:
            email = f"{role.value}@{slug}.example"
            user = User.objects.filter(email=email).first()
            if user is None:
                user, made_any = User.objects.create_user(email, password), True
            Membership.objects.get_or_create(tenant=tenants[slug], user=user, defaults={"role": role})
    return tenants, password if made_any else ""
