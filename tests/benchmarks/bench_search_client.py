"""Searches through `collections_admin.qdrant` against the bare client: `python -m tests.benchmarks.bench_search_client`.

10,000 chunks of 384 dimensions on an embedded node of its own; 100 people search at once, filtered, first by one way,
then by the other, in alternating rounds of one run with the same requests. Read the ratios: the machine is shared.
"""

import argparse
import asyncio
import math
import random
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter, process_time

import numpy as np
from qdrant_client import AsyncQdrantClient, models

from collections_admin import qdrant as access
from collections_admin.edge_node.supervisor import EdgeNode

CHUNKS, SIZE, PEOPLE, LIMIT = 10_000, 384, 100, 10
Search = Callable[[list[float]], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Round:
    """Times in ms; `failures` are errors of any kind; `cpu` is what this process spent per search."""

    per_second: float
    p50: float
    p99: float
    largest_lag: float
    cpu: float
    failures: int


async def measure(search: Search, requests: list[list[float]]) -> Round:
    times: list[float] = []
    failures = 0
    left = iter(requests)

    async def person() -> None:
        nonlocal failures
        for request in left:
            started = perf_counter()
            try:
                await search(request)
            except Exception as error:
                failures += 1
                print("failed:", error)
            times.append((perf_counter() - started) * 1000)

    lag = asyncio.create_task(largest_lag())
    started, spent = perf_counter(), process_time()
    await asyncio.gather(*(person() for _ in range(PEOPLE)))
    lasted, spent = perf_counter() - started, process_time() - spent
    lag.cancel()
    times.sort()
    return Round(
        per_second=len(times) / lasted,
        p50=times[len(times) // 2],
        p99=times[math.ceil(0.99 * len(times)) - 1],
        largest_lag=await lag,
        cpu=spent / len(times) * 1000,
        failures=failures,
    )


async def largest_lag() -> float:
    largest = 0.0
    try:
        while True:
            planned = perf_counter() + 0.005
            await asyncio.sleep(0.005)
            largest = max(largest, (perf_counter() - planned) * 1000)
    except asyncio.CancelledError:
        return largest


async def fill(rng: np.random.Generator) -> None:
    await access.ensure_collection("bench__v1", "bench", access.CollectionSpec(vector_size=SIZE))
    vectors = rng.standard_normal((CHUNKS, SIZE)).astype("f4")
    words = [f"word{number}" for number in range(2000)]
    choose = random.Random(1)
    for start in range(0, CHUNKS, 1000):
        rows = range(start, start + 1000)
        texts = [" ".join(choose.choices(words, k=80)) for _ in rows]
        points = [_chunk(row, vectors[row], text) for row, text in zip(rows, texts, strict=True)]
        await access.upsert_points("bench", points)


def _chunk(number: int, vector: np.ndarray, text: str) -> access.PointToWrite:
    payload = {
        "tenant_id": 1,
        "table_name": "documents",
        "document_id": f"document-{number // 20}",
        "external_id": f"external-{number // 20}",
        "title": f"Title {number // 20}",
        "chunk_index": number % 20,
        "chunk_count": 20,
        "content": text,
        "content_hash": f"{number:064x}",
        "embedding_model": "bench",
        "indexed_at": "2026-11-20T12:00:00Z",
        "rev": 1,
        "meta": {"language": "en"},
    }
    if number % 10 == 0:
        payload["archived_at"] = "2026-11-20T12:00:00Z"
    return access.PointToWrite(id=number, vector=vector, payload=payload)


def ways(bare: AsyncQdrantClient) -> tuple[Search, Search]:
    async def ours(vector: list[float]) -> list[tuple[object, dict[str, object]]]:
        found = await access.query("bench", vector=vector, condition=access.IsEmpty("archived_at"), limit=LIMIT)
        return [(hit.id, hit.payload) for hit in found.hits]

    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key="archived_at"))

    async def theirs(vector: list[float]) -> list[tuple[object, dict[str, object]]]:
        found = await bare.query_points("bench", query=vector, query_filter=models.Filter(must=[empty]), limit=LIMIT)
        return [(hit.id, hit.payload) for hit in found.points]

    return ours, theirs


async def compare(port: int, rounds: int, searches: int) -> None:
    access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=port, deadline_s=30.0))
    rng = np.random.default_rng(7)
    await fill(rng)
    bare = AsyncQdrantClient(host="127.0.0.1", grpc_port=port, prefer_grpc=True, check_compatibility=False, timeout=30)
    ours, theirs = ways(bare)
    requests = rng.standard_normal((searches, SIZE)).astype("f4").tolist()
    assert await ours(requests[0]) == await theirs(requests[0]), "both ways must give the same hits"
    measured: dict[str, list[Round]] = {"ours": [], "bare": []}
    await measure(ours, requests[:PEOPLE])
    await measure(theirs, requests[:PEOPLE])
    for number in range(rounds):
        pair = [("ours", ours), ("bare", theirs)]
        for name, search in pair if number % 2 else reversed(pair):
            measured[name].append(await measure(search, requests))
    show(measured)
    await access.close_connections()
    await bare.close()


def show(measured: dict[str, list[Round]]) -> None:
    def median(name: str, number: str) -> float:
        return statistics.median(getattr(round_, number) for round_ in measured[name])

    print(f"{'':8}{'searches/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'lag ms':>10}{'cpu ms':>10}{'failures':>10}")
    for name, done in measured.items():
        cells = [median(name, number) for number in ("per_second", "p50", "p99", "largest_lag", "cpu")]
        failures = sum(round_.failures for round_ in done)
        print(f"{name:8}{cells[0]:>12.0f}{''.join(f'{cell:>10.2f}' for cell in cells[1:])}{failures:>10}")
    per_round = zip(measured["ours"], measured["bare"], strict=True)
    throughput = [one.per_second / other.per_second for one, other in per_round]
    print(f"throughput ratio {statistics.median(throughput):.2f} (aim ≥ 0.9; rounds {_all(throughput)})")
    print(f"p99 ratio        {median('ours', 'p99') / median('bare', 'p99'):.2f} (aim ≤ 1.2)")


def _all(numbers: list[float]) -> str:
    return " ".join(f"{number:.2f}" for number in numbers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--searches", type=int, default=1000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = EdgeNode(folder)
        node.start()
        try:
            asyncio.run(compare(node.port, chosen.rounds, chosen.searches))
        finally:
            node.stop()
