"""Searches through the search service against the bare client: `python -m tests.benchmarks.bench_search_service`.

10,000 chunks of 384 dimensions, 100 people at once, filtered, with prepared vectors and the same requests by both ways
in alternating rounds. Aims: throughput at least 0.9 times the bare client's, p99 at most 1.2 times, p99 below 500 ms,
no failure. Read the ratios: the machine is shared.
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

CONFIGURED = tempfile.mkdtemp(prefix="bench-search-")
os.environ |= {"DJANGO_SETTINGS_MODULE": "dashboard.settings", "DATA_DIR": CONFIGURED}

# ruff: noqa: E402 - settings are read when Django is set up, and need their environment before that
import django

django.setup()

from qdrant_client import AsyncQdrantClient, models

from collections_admin import qdrant as access
from collections_admin.edge_node.supervisor import EdgeNode
from collections_admin.models import TenantCollection
from collections_admin.services.search import HIT_FIELDS, search
from tests.benchmarks.bench_search_client import CHUNKS, LIMIT, PEOPLE, SIZE, Round, Search, fill, measure
from tests.consoles import free_port

AIMS = {"throughput": 0.9, "p99": 1.2}


def ways(bare: AsyncQdrantClient) -> tuple[Search, Search]:
    collection = TenantCollection(tenant_id=1, table="documents", physical_name="bench", vector_size=SIZE)

    async def service(vector: list[float]) -> list[tuple[str, str]]:
        found = await search(collection, vector=vector, limit=LIMIT)
        return [(hit.point_id, hit.text) for hit in found.hits]

    condition = models.Filter(
        must=[
            models.FieldCondition(key="tenant_id", match=models.MatchValue(value=1)),
            models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="archived_at"))]),
        ]
    )

    async def client(vector: list[float]) -> list[tuple[str, str]]:
        found = await bare.query_points(
            "bench", query=vector, query_filter=condition, limit=LIMIT, with_payload=list(HIT_FIELDS)
        )
        return [(str(hit.id), hit.payload["content"]) for hit in found.points]

    return service, client


async def compare(port: int, rounds: int, searches: int) -> bool:
    access.configure(access.QdrantConfig(host="127.0.0.1", grpc_port=port, deadline_s=30.0))
    rng = np.random.default_rng(7)
    await fill(rng)
    bare = AsyncQdrantClient(host="127.0.0.1", grpc_port=port, prefer_grpc=True, check_compatibility=False, timeout=30)
    service, client = ways(bare)
    requests = rng.standard_normal((searches, SIZE)).astype("f4").tolist()
    assert await service(requests[0]) == await client(requests[0]), "both ways must give the same hits"
    measured: dict[str, list[Round]] = {"service": [], "bare": []}
    for way in (service, client):
        await measure(way, requests[:PEOPLE])
    for number in range(rounds):
        pair = [("service", service), ("bare", client)]
        for name, way in pair if number % 2 else reversed(pair):
            measured[name].append(await measure(way, requests))
    await access.close_connections()
    await bare.close()
    return report(measured)


def report(measured: dict[str, list[Round]]) -> bool:
    print(f"{CHUNKS:,} chunks × {SIZE} dimensions, {PEOPLE} at once, medians of {len(measured['bare'])} rounds")
    for name, found in measured.items():
        rate, p50, p99 = (median(getattr(r, number) for r in found) for number in ("per_second", "p50", "p99"))
        lag, failures = max(r.largest_lag for r in found), sum(r.failures for r in found)
        print(f"  {name:8} {rate:6.0f}/s  p50 {p50:4.0f} ms  p99 {p99:4.0f} ms", end="  ")
        print(f"largest loop lag {lag:4.0f} ms  failures {failures}")
    # Round by round: what else runs on the machine changes more slowly than the rounds do.
    pairs = list(zip(measured["service"], measured["bare"], strict=True))
    throughput = median(ours.per_second / theirs.per_second for ours, theirs in pairs)
    p99 = median(ours.p99 / theirs.p99 for ours, theirs in pairs)
    print(f"  throughput × {throughput:.2f} (aim ≥ {AIMS['throughput']})   p99 × {p99:.2f} (aim ≤ {AIMS['p99']})")
    return throughput >= AIMS["throughput"] and p99 <= AIMS["p99"]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--searches", type=int, default=1000)
    options = parser.parse_args()
    node = EdgeNode(Path(CONFIGURED) / "node", port=free_port())
    node.start()
    try:
        return 0 if asyncio.run(compare(node.port, options.rounds, options.searches)) else 1
    finally:
        node.stop()


if __name__ == "__main__":
    raise SystemExit(main())
