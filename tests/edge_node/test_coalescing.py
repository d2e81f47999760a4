import asyncio

import pytest
import qdrant_edge as edge
from qdrant_client import models

from collections_admin.edge_node.coalescing import MAX_BATCH, SearchQueue
from collections_admin.edge_node.errors import NodeError, invalid
from tests.edge_node.calling import dense, ids


class CountingShard:
    """A real shard that notes the size of each batch."""

    def __init__(self, shard):
        self.shard = shard
        self.batches = []
        self.singles = 0

    def query_batch(self, request):
        self.batches.append(request)
        return self.shard.query_batch(request)

    def query(self, request):
        self.singles += 1
        return self.shard.query(request)


@pytest.fixture
def shard(tmp_path):
    params = edge.EdgeVectorParams(size=2, distance=edge.Distance.Dot)
    shard = edge.EdgeShard.create(str(tmp_path / "shard"), edge.EdgeConfig(vectors={"": params}, max_search_threads=1))
    shard.update(edge.UpdateOperation.upsert_points([edge.Point(n, [1.0, float(n)], {}) for n in range(100)]))
    yield CountingShard(shard)
    shard.close()


def nearest(vector=(0.0, 1.0), limit=1, **more):
    return lambda: edge.QueryRequest(limit=limit, query=edge.Query.Nearest(list(vector), ""), **more)


async def test_searches_of_one_moment_are_one_engine_call_and_each_gets_its_own_answer(shard):
    queue = SearchQueue(lambda: shard)
    answers = await asyncio.gather(*(queue.search(nearest(limit=n + 1)) for n in range(MAX_BATCH)))
    assert [len(a) for a in answers] == list(range(1, MAX_BATCH + 1))
    assert len(shard.batches) <= 1 + MAX_BATCH // 4
    again = len(shard.batches)
    await asyncio.gather(*(queue.search(nearest()) for _ in range(MAX_BATCH)))
    assert len(shard.batches) == again + 1


async def test_more_than_a_batch_is_split_and_other_work_comes_in_between(shard):
    queue = SearchQueue(lambda: shard)
    await queue.search(nearest())
    seen = []
    shard.batches.clear()

    async def other():
        while len(shard.batches) < 4:
            seen.append(len(shard.batches))
            await asyncio.sleep(0)

    await asyncio.gather(other(), *(queue.search(nearest()) for _ in range(4 * MAX_BATCH)))
    assert {1, 2, 3} <= set(seen)


async def test_a_search_that_cannot_be_planned_fails_alone(shard):
    def broken():
        raise invalid("no such thing")

    queue = SearchQueue(lambda: shard)
    answers = await asyncio.gather(
        queue.search(nearest()), queue.search(broken), queue.search(nearest()), return_exceptions=True
    )
    assert [len(answers[0]), len(answers[2])] == [1, 1]
    assert isinstance(answers[1], NodeError)


async def test_a_search_that_the_engine_refuses_fails_alone(shard):
    queue = SearchQueue(lambda: shard)
    answers = await asyncio.gather(
        *(queue.search(nearest(vector=[1.0] if n == 5 else (0.0, 1.0))) for n in range(10)), return_exceptions=True
    )
    assert [n for n, a in enumerate(answers) if isinstance(a, NodeError)] == [5]
    assert all(len(a) == 1 for n, a in enumerate(answers) if n != 5)
    assert shard.singles > 0


async def test_a_search_whose_caller_has_left_is_not_run(shard):
    queue = SearchQueue(lambda: shard)
    planned = []

    def noted():
        planned.append(1)
        return nearest()()

    left = asyncio.ensure_future(queue.search(noted))
    stays = asyncio.ensure_future(queue.search(nearest()))
    await asyncio.sleep(0)
    left.cancel()
    assert len(await stays) == 1
    assert planned == []


async def test_slow_searches_go_in_smaller_batches(shard):
    queue = SearchQueue(lambda: shard)
    queue._seconds_each = 0.01
    assert queue._size() == 10
    queue._seconds_each = 10.0
    assert queue._size() == 4
    queue._seconds_each = 1e-6
    assert queue._size() == MAX_BATCH


async def test_writes_and_searches_at_once_all_succeed(client, name):
    await client.create_collection(name, vectors_config=dense())
    await client.upsert(name, [models.PointStruct(id=0, vector=[1.0, 0, 0, 0])])

    async def write(number):
        await client.upsert(name, [models.PointStruct(id=number, vector=[0, 1.0, 0, 0], payload={"n": number})])

    async def search(number):
        bad = number % 10 == 0
        try:
            found = await client.query_points(name, [1.0] if bad else [1.0, 0, 0, 0], limit=1)
        except Exception:
            return "refused" if bad else "failed"
        return ids(found.points)

    answers = await asyncio.gather(*(search(n) for n in range(200)), *(write(n) for n in range(1, 101)))
    assert answers[:200] == ["refused" if n % 10 == 0 else [0] for n in range(200)]
    assert (await client.count(name)).count == 101


async def test_a_collection_deleted_under_searches_answers_each_of_them(client, name):
    await client.create_collection(name, vectors_config=dense())
    await client.upsert(name, [models.PointStruct(id=0, vector=[1.0, 0, 0, 0])])
    searches = [client.query_points(name, [1.0, 0, 0, 0], limit=1) for _ in range(100)]
    *answers, gone = await asyncio.gather(*searches, client.delete_collection(name), return_exceptions=True)
    assert gone is True
    for answer in answers:
        if isinstance(answer, Exception):
            assert "doesn't exist" in str(answer)
        else:
            assert ids(answer.points) == [0]
