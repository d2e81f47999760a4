"""kill -9 under writes: what was acknowledged is there after the restart, and the client goes on by itself."""

import asyncio
import random

import grpc
import pytest
from qdrant_client import models

from collections_admin.edge_node.supervisor import EdgeNode
from tests.edge_node.calling import connect, dense

CYCLES = 20
WRITERS = 4
VECTOR = [1.0, 0.0, 0.0, 0.0]
TABLE = "table"


class Writer:
    """Writes to ids of its own and keeps what the node has acknowledged: a mark per point, None for a deleted one.

    `unsure` holds the ids of the one call under way when the node died: it may have been applied or not.
    """

    def __init__(self, client, number):
        self.client = client
        self.random = random.Random(number)
        self.next_id = number * 1_000_000
        self.expected: dict[int, int | None] = {}
        self.unsure: set[int] = set()
        self.acknowledged = 0

    async def run(self):
        while True:
            step = self.random.choice((self.upsert, self.upsert, self.delete, self.mark))
            touched, after = step()
            self.unsure |= set(after)
            await touched
            self.expected |= after
            self.unsure -= set(after)
            self.acknowledged += 1

    def upsert(self):
        new = range(self.next_id, self.next_id + self.random.randint(1, 5))
        self.next_id = new.stop
        points = [models.PointStruct(id=n, vector=VECTOR, payload={"mark": 0}) for n in new]
        return self.client.upsert(TABLE, points), dict.fromkeys(new, 0)

    def _some(self):
        alive = [n for n, mark in self.expected.items() if mark is not None]
        return self.random.sample(alive, min(3, len(alive)))

    def delete(self):
        chosen = self._some()
        return self.client.delete(TABLE, chosen), dict.fromkeys(chosen)

    def mark(self):
        chosen, mark = self._some(), self.random.randint(1, 10**9)
        return self.client.set_payload(TABLE, {"mark": mark}, points=chosen), dict.fromkeys(chosen, mark)


async def until_the_node_dies(writer):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await writer.run()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, caught.value.details()


async def stored(client):
    marks, cursor = {}, None
    while True:
        points, cursor = await client.scroll(TABLE, limit=5000, offset=cursor)
        marks |= {p.id: p.payload.get("mark") for p in points}
        if cursor is None:
            return marks


async def first_answer(call):
    """The answer of a call, repeated until the client has found the node again."""
    for _ in range(400):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        await asyncio.sleep(0.05)
    pytest.fail("the client did not find the node again")


async def test_no_acknowledged_write_is_lost_in_twenty_kills_and_the_client_goes_on(tmp_path):
    node = EdgeNode(tmp_path).start()
    client = connect(node.port)
    await client.create_collection(TABLE, vectors_config=dense())
    await client.create_payload_index(TABLE, "mark", "integer")
    writers = [Writer(client, number) for number in range(WRITERS)]
    moments = random.Random(7)
    for cycle in range(CYCLES):
        tasks = [asyncio.create_task(until_the_node_dies(writer)) for writer in writers]
        await asyncio.sleep(moments.uniform(0.05, 0.3))
        node.kill()
        await asyncio.gather(*tasks)
        await asyncio.to_thread(node.start)
        await first_answer(lambda: client.count(TABLE))
        found = await stored(client)
        for writer in writers:
            sure = {n: mark for n, mark in writer.expected.items() if n not in writer.unsure}
            assert {n: found.get(n) for n in sure} == sure, f"cycle {cycle}"
            writer.expected |= {n: found.get(n) for n in writer.unsure}
            writer.unsure.clear()
    assert all(writer.acknowledged > CYCLES for writer in writers)
    await client.close()
    assert node.stop() == 0


async def test_collections_created_and_deleted_under_kills_are_whole_or_gone(tmp_path):
    node = EdgeNode(tmp_path).start()
    client = connect(node.port)
    moments = random.Random(11)
    present: set[str] = set()
    number = 0

    async def churn():
        nonlocal number
        while True:
            number += 1
            name = f"c{number}"
            try:
                await client.create_collection(name, vectors_config=dense())
                present.add(name)
                if number % 2:
                    present.discard(name)
                    await client.delete_collection(name)
            except grpc.aio.AioRpcError:
                return name

    for _ in range(4):
        task = asyncio.create_task(churn())
        await asyncio.sleep(moments.uniform(0.1, 0.4))
        node.kill()
        unsure = await task
        await asyncio.to_thread(node.start)
        listed = await first_answer(client.get_collections)
        client_sees = {c.name for c in listed.collections}
        assert present - {unsure} <= client_sees <= present | {unsure}
        present = client_sees
        for name in client_sees:
            assert (await client.count(name)).count == 0
        assert len(list((tmp_path / "collections").iterdir())) == len(client_sees)
    await client.close()
    assert node.stop() == 0
