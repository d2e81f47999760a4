"""Speed and memory of the ETL flow: `python -m tests.benchmarks.bench_ingest [--rounds 3]`.

Speed: one job that ingests texts of 5,000 chunks, against embedding these chunks and a bare client's upsert of their
prepared points, measured apart in the same round. Aim: at least 0.7 of their speed.
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
from collections.abc import Iterator
from pathlib import Path
from statistics import median

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
from collections_admin.embeddings import get_model
from collections_admin.jobs.kinds.import_records import start_import
from collections_admin.jobs.kinds.ingest import start
from collections_admin.models import Chunk, Job, JobStatus, TenantCollection
from collections_admin.services import documents
from collections_admin.services.documents import DocumentText
from collections_admin.services.tenant_collections import ensure_collection
from collections_admin.services.uploads import PART_BYTES, store_upload
from tests.factories import TenantFactory, make
from tests.running import registered, run_next

CHUNKS, BATCH, SPEED_AIM, MEMORY_AIM = 5_000, 128, 0.7, 300
RECORDS = (2_000, 20_000)


def texts(chunks: int) -> Iterator[str]:
    """Documents of about ten chunks each, no two alike: paragraphs of Python's reference in another order."""
    paragraphs = [part for text in topics.values() for part in text.split("\n\n") if len(part) > 200]
    pick = random.Random(7)
    for number in range(chunks // 10):
        yield f"Document {number}\n\n" + "\n\n".join(pick.choices(paragraphs, k=12))


async def one_round() -> tuple[int, float, float, float]:
    """Number of chunks, seconds of the flow, of embedding alone, of the bare upsert alone."""
    collection = await registered(await make(TenantFactory))
    await ensure_collection(collection)
    rows: list = []
    for number, text in enumerate(texts(CHUNKS)):
        written = DocumentText.checked(title=f"Document {number}", text=text, meta={"n": number})
        await documents.paste(collection, written, external_id=f"d{number}", by=None, enqueue=rows.extend)
    await sync_to_async(start("ingest", None))(rows)
    started = time.perf_counter()
    job = await run_next()
    flow = time.perf_counter() - started
    assert job.status == JobStatus.SUCCEEDED, job.error
    embedding, upsert = await apart(collection)
    return job.result["chunks written"], flow, embedding, upsert


async def apart(collection: TenantCollection) -> tuple[float, float]:
    contents = [
        row async for row in Chunk.objects.filter(document__collection=collection).values_list("content", flat=True)
    ]
    model = get_model(collection.embedding_model)
    vectors, started = [], time.perf_counter()
    for start_at in range(0, len(contents), BATCH):
        vectors += await model.embed(contents[start_at : start_at + BATCH])
    embedding = time.perf_counter() - started
    return embedding, await bare_upsert(collection, vectors)


async def bare_upsert(collection: TenantCollection, vectors: list[list[float]]) -> float:
    """Into a collection of the same settings, with the payloads that the flow wrote."""
    other = await registered(await make(TenantFactory))
    await ensure_collection(other)
    payloads, cursor = [], None
    while True:
        page = await qdrant.scroll(collection.alias, limit=1000, cursor=cursor)
        payloads += [(str(point.id), point.payload) for point in page.points]
        cursor = page.next_cursor
        if cursor is None:
            break
    points = [
        models.PointStruct(id=pk, vector=vector, payload=payload)
        for (pk, payload), vector in zip(payloads, vectors, strict=True)
    ]
    client = AsyncQdrantClient(host="127.0.0.1", grpc_port=NODE_PORT, prefer_grpc=True, check_compatibility=False)
    started = time.perf_counter()
    for start_at in range(0, len(points), BATCH):
        await client.upsert(other.alias, points[start_at : start_at + BATCH], wait=True)
    seconds = time.perf_counter() - started
    await client.close()
    return seconds


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


async def speed(rounds: int) -> None:
    ratios = []
    for _ in range(rounds):
        chunks, flow, embedding, upsert = await one_round()
        ratios.append((embedding + upsert) / flow)
        print(
            f"{chunks:,} chunks: flow {flow:.1f} s ({chunks / flow:,.0f}/s); apart: embedding {embedding:.1f} s, "
            f"bare upsert {upsert:.1f} s; speed {ratios[-1]:.2f} of theirs"
        )
    print(f"median speed {median(ratios):.2f} of embedding and bare upsert apart (aim ≥ {SPEED_AIM})")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    await sync_to_async(call_command)("migrate", verbosity=0)
    with EdgeNode(FOLDER / "node", port=NODE_PORT):
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
