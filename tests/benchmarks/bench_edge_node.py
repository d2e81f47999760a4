"""Search throughput of the embedded node with and without coalescing, by hand:

    python -m tests.benchmarks.bench_edge_node [--points 10000] [--searches 2000] [--concurrency 100] [--rounds 3]

Requests are prepared bytes over raw stubs, so that the client costs little of the machine. The two nodes take turns,
because the machine's speed changes between rounds; the medians of the rounds are compared.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from qdrant_client import AsyncQdrantClient, models
from qdrant_client import grpc as pb

from collections_admin.edge_node.supervisor import EdgeNode

SIZE = 384
BATCH = 500
TABLE = "bench"
QUERY = "/qdrant.Points/Query"


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One run: searches per second, latencies in ms and the node's CPU in ms per search."""

    per_second: float
    p50: float
    p99: float
    cpu: float


def _vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, SIZE)).astype("f4")


async def fill(port: int, points: int) -> None:
    client = AsyncQdrantClient(
        host="127.0.0.1", grpc_port=port, prefer_grpc=True, check_compatibility=False, timeout=60
    )
    vectors = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
    await client.create_collection(TABLE, vectors_config=vectors)
    await client.create_payload_index(TABLE, "document_id", models.PayloadSchemaType.KEYWORD)
    await client.create_payload_index(TABLE, "archived_at", models.PayloadSchemaType.DATETIME)
    rows = _vectors(points, 1)
    for start in range(0, points, BATCH):
        batch = [
            models.PointStruct(id=i, vector=rows[i].tolist(), payload=_payload(i))
            for i in range(start, min(start + BATCH, points))
        ]
        await client.upsert(TABLE, batch)
    await client.close()


def _payload(number: int) -> dict[str, object]:
    return {
        "document_id": f"document-{number // 20}",
        "position": number % 20,
        "text": "some words of a chunk " * 20,
        "tags": ["a", "b"],
        "archived_at": None,
    }


def requests(count: int) -> list[bytes]:
    condition = pb.Condition(is_empty=pb.IsEmptyCondition(key="archived_at"))
    return [
        pb.QueryPoints(
            collection_name=TABLE,
            query=pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=row.tolist()))),
            filter=pb.Filter(must=[condition]),
            limit=10,
            with_payload=pb.WithPayloadSelector(enable=True),
        ).SerializeToString()
        for row in _vectors(count, 2)
    ]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def search(node: EdgeNode, prepared: list[bytes], concurrency: int) -> Round:
    latencies: list[float] = []
    waiting = iter(prepared)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        call = channel.unary_unary(QUERY)

        async def worker() -> None:
            for request in waiting:
                start = time.perf_counter()
                await call(request)
                latencies.append(time.perf_counter() - start)

        cpu, begun = _cpu_seconds(node.pid), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        seconds, cpu = time.perf_counter() - begun, _cpu_seconds(node.pid) - cpu
    cuts = statistics.quantiles(latencies, n=100)
    return Round(
        per_second=len(prepared) / seconds,
        p50=cuts[49] * 1000,
        p99=cuts[98] * 1000,
        cpu=cpu / len(prepared) * 1000,
    )


def _median(rounds: list[Round], field: str) -> float:
    return statistics.median(getattr(r, field) for r in rounds)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepared = requests(options.searches)
    results: dict[str, list[Round]] = {"one by one": [], "coalesced": []}
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        EdgeNode(one, arguments=("--max-batch", "1")) as plain,
        EdgeNode(other) as coalescing,
    ):
        nodes = {"one by one": plain, "coalesced": coalescing}
        for node in nodes.values():
            await fill(node.port, options.points)
            await search(node, prepared[:200], options.concurrency)
        for _ in range(options.rounds):
            for name, node in nodes.items():
                results[name].append(await search(node, prepared, options.concurrency))
    for name, rounds in results.items():
        print(
            f"{name:11} {_median(rounds, 'per_second'):7.0f} searches/s   p50 {_median(rounds, 'p50'):6.1f} ms   "
            f"p99 {_median(rounds, 'p99'):6.1f} ms   node CPU {_median(rounds, 'cpu'):.2f} ms each"
        )
    ratio = _median(results["coalesced"], "per_second") / _median(results["one by one"], "per_second")
    print(f"coalesced / one by one: {ratio:.2f}x at {options.points} x {SIZE}, concurrency {options.concurrency}")


if __name__ == "__main__":
    asyncio.run(main())
