"""Speed and memory of the ETL flow: `python -m tests.benchmarks.bench_ingest [--rounds 5]`.

Speed: one job that ingests texts of 5,000 chunks, against embedding these chunks and then a bare client's upsert of
their prepared points, measured apart in the same round. Aim: at least 0.7 of their speed.
Memory: an import of 2,000 and one of 20,000 records, each by a fresh worker process; its peak over what it held idle.
Aims: at most 300 MB, and the same for both.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from tests.consoles import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(tempfile.mkdtemp(prefix="bench-ingest-"))
NODE_PORT = free_port()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "dashboard.settings",
    "DATA_DIR": str(FOLDER),
    "EMBEDDED_NODE_PORT": str(NODE_PORT),
    "LOG_LEVEL": "ERROR",
}

# ruff: noqa: E402 - Django reads its settings from the environment that was just made
import django

django.setup()

from pydoc_data.topics import topics

from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import connection
from qdrant_client import AsyncQdrantClient, models

from collections_admin import qdrant
from collections_admin.edge_node.supervisor import EdgeNode
from collections_admin.embeddings import EmbeddingModel, get_model
from collections_admin.jobs.kinds.import_records import start_import
from collections_admin.jobs.kinds.ingest import start
from collections_admin.models import Job, JobStatus, TenantCollection
from collections_admin.services import documents
from collections_admin.services.documents import DocumentText
from collections_admin.services.ingest import PORTION_CHUNKS
from collections_admin.services.tenant_collections import ensure_collection
from collections_admin.services.uploads import PART_BYTES, store_upload
from tests.factories import TenantFactory, make
from tests.running import registered, run_next

T = TypeVar("T")
CHUNKS, SPEED_AIM, MEMORY_AIM = 5_000, 0.7, 300
RECORDS = (2_000, 20_000)
NODE = EdgeNode(FOLDER / "node", port=NODE_PORT)


def texts(chunks: int) -> Iterator[str]:
    """Documents of about ten chunks each, no two alike: paragraphs of Python's reference in another order."""
    paragraphs = [part for text in topics.values() for part in text.split("\n\n") if len(part) > 200]
    pick = random.Random(7)
    for number in range(chunks // 10):
        yield f"Document {number}\n\n" + "\n\n".join(pick.choices(paragraphs, k=12))


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """Seconds by the clock, and of the processor: in this process and in the node's."""

    wall: float
    cpu: float
    node: float

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(wall=self.wall + other.wall, cpu=self.cpu + other.cpu, node=self.node + other.node)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(wall=self.wall - other.wall, cpu=self.cpu - other.cpu, node=self.node - other.node)

    def __str__(self) -> str:
        return f"{self.wall:.2f} s (cpu {self.cpu:.2f} + node {self.node:.2f})"


async def timed(work: Awaitable[T]) -> tuple[T, Spent]:
    before = so_far()
    result = await work
    return result, so_far() - before


def so_far() -> Spent:
    fields = Path(f"/proc/{NODE.pid}/stat").read_text().rpartition(")")[2].split()
    node = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Spent(wall=time.perf_counter(), cpu=time.process_time(), node=node)


async def flow() -> tuple[TenantCollection, Spent]:
    """One job over all documents, from its claim to its end."""
    collection = await registered(await make(TenantFactory))
    await ensure_collection(collection)
    rows: list = []
    for number, text in enumerate(texts(CHUNKS)):
        written = DocumentText.checked(title=f"Document {number}", text=text, meta={"n": number})
        await documents.paste(collection, written, external_id=f"d{number}", by=None, enqueue=rows.extend)
    await sync_to_async(start("ingest", None))(rows)
    job, spent = await timed(run_next())
    assert job.status == JobStatus.SUCCEEDED, job.error
    return collection, spent


async def written_by(collection: TenantCollection) -> list[tuple[str, dict]]:
    """Ids and payloads of the points that the flow wrote."""
    points, cursor = [], None
    while True:
        page = await qdrant.scroll(collection.alias, limit=1000, cursor=cursor)
        points += [(str(point.id), point.payload) for point in page.points]
        cursor = page.next_cursor
        if cursor is None:
            return points


async def apart(like: TenantCollection, points: list[tuple[str, dict]]) -> tuple[Spent, Spent]:
    """Embedding alone, then a bare client's upsert alone: the same texts, payloads and payload indexes, one batch
    after the other, of as many as the flow takes at once, each waited for."""
    model = get_model(like.embedding_model)
    vectors, embedding = await timed(embed(model, [payload["content"] for _, payload in points]))
    other = await registered(await make(TenantFactory))
    await ensure_collection(other)
    prepared = [
        models.PointStruct(id=pk, vector=vector, payload=payload)
        for (pk, payload), vector in zip(points, vectors, strict=True)
    ]
    client = AsyncQdrantClient(host="127.0.0.1", grpc_port=NODE_PORT, prefer_grpc=True, check_compatibility=False)
    await client.get_collection(other.alias)  # connects
    _, upsert = await timed(bare_upsert(client, other.alias, prepared))
    await client.close()
    return embedding, upsert


async def embed(model: EmbeddingModel, contents: list[str]) -> list[list[float]]:
    vectors: list = []
    for start_at in range(0, len(contents), PORTION_CHUNKS):
        vectors += await model.embed(contents[start_at : start_at + PORTION_CHUNKS])
    return vectors


async def bare_upsert(client: AsyncQdrantClient, name: str, points: list[models.PointStruct]) -> None:
    for start_at in range(0, len(points), PORTION_CHUNKS):
        await client.upsert(name, points[start_at : start_at + PORTION_CHUNKS], wait=True)


async def speed(rounds: int) -> None:
    """After a round to warm up, both sides take turns in going first."""
    collection, _ = await flow()
    points = await written_by(collection)
    ratios = []
    for number in range(rounds):
        if number % 2:
            embedding, upsert = await apart(collection, points)
            _, whole = await flow()
        else:
            _, whole = await flow()
            embedding, upsert = await apart(collection, points)
        both = embedding + upsert
        ratios.append(both.wall / whole.wall)
        print(
            f"{len(points):,} chunks: flow {whole}, {len(points) / whole.wall:,.0f}/s; apart: embedding {embedding}, "
            f"bare upsert {upsert}; speed {ratios[-1]:.2f} of theirs, by processor time "
            f"{(both.cpu + both.node) / (whole.cpu + whole.node):.2f}"
        )
    print(
        f"speed of embedding and bare upsert apart: median {median(ratios):.2f}, best {max(ratios):.2f}, worst "
        f"{min(ratios):.2f} (aim ≥ {SPEED_AIM})"
    )


# ---- memory


def records(count: int) -> Iterator[bytes]:
    pool = list(texts(300))
    for number in range(count):
        body = {"id": f"R-{number}", "title": f"Record {number}", "content": f"{number} {pool[number % 30][:1200]}"}
        yield json.dumps(body).encode() + b"\n"


def in_parts(lines: Iterator[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for line in lines:
        held += line
        if len(held) + 20_000 > PART_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held)


async def queue_import(count: int) -> Job:
    collection = await registered(await make(TenantFactory))
    stored = await store_upload(
        collection.tenant,
        file_name="records.jsonl",
        media_type="",
        pieces=in_parts(records(count)),
        max_bytes=10**9,
    )
    return await sync_to_async(start_import)(collection, stored, by=None)


def resident(pid: int, field: str) -> float:
    """Megabytes: `VmRSS` now, `VmHWM` at the most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def imported(job: Job) -> tuple[float, float, float]:
    """Megabytes over idle at the most, megabytes idle, seconds."""
    environment = {name: value for name, value in os.environ.items() if name != "LOG_LEVEL"}
    queued = Job.objects.filter(pk=job.pk)
    queued.update(run_after="2100-01-01T00:00:00Z")
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "worker"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(6)
        idle = resident(worker.pid, "VmRSS")
        queued.update(run_after="2000-01-01T00:00:00Z")
        started = time.perf_counter()
        while not Job.objects.get(pk=job.pk).finished_at:
            time.sleep(0.2)
        seconds = time.perf_counter() - started
        found = Job.objects.get(pk=job.pk)
        assert found.status == JobStatus.SUCCEEDED, found.error
        return resident(worker.pid, "VmHWM") - idle, idle, seconds
    finally:
        worker.terminate()
        worker.wait(15)
        connection.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    await sync_to_async(call_command)("migrate", verbosity=0)
    with NODE:
        await speed(options.rounds)
        for count in RECORDS:
            job = await queue_import(count)
            over, idle, seconds = await sync_to_async(imported)(job)
            print(
                f"import of {count:,} records: {seconds:.0f} s ({count / seconds:,.0f}/s); worker {over:.0f} MB over "
                f"its idle {idle:.0f} MB (aim ≤ {MEMORY_AIM})"
            )
        await qdrant.close_connections()


if __name__ == "__main__":
    asyncio.run(main())
