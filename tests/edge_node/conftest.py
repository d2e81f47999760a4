"""One embedded node for all tests of this folder; each test works on collections of its own."""

from uuid import uuid4

import pytest
from qdrant_client import models

from collections_admin.edge_node.supervisor import EdgeNode
from tests.edge_node.calling import connect, dense


@pytest.fixture(scope="session")
def edge_node(tmp_path_factory):
    with EdgeNode(tmp_path_factory.mktemp("edge_node")) as node:
        yield node


@pytest.fixture
async def client(edge_node):
    client = connect(edge_node.port)
    yield client
    await client.close()


@pytest.fixture
def name():
    return f"c-{uuid4().hex[:12]}"


@pytest.fixture
async def table(client, name):
    """The name of a collection of twelve points on a quarter circle: the lower the id, the nearer to (1, 0, 0, 0)."""
    await client.create_collection(name, vectors_config=dense())
    points = [
        models.PointStruct(
            id=number,
            vector=[12.0 - number, float(number), 0.0, 0.0],
            payload={
                "number": number,
                "even": number % 2 == 0,
                "group": f"g{number % 3}",
                "tags": ["all", f"t{number % 4}"],
                "text": f"chunk number {number} of a long story",
                "day": f"2026-01-{number + 1:02d}T00:00:00Z",
                "deep": {"number": number, "list": [{"x": number}, {"x": -number}]},
                "none": None,
                "place": {"lat": 50.0 + number, "lon": 10.0},
            },
        )
        for number in range(12)
    ]
    await client.upsert(name, points)
    for field in ("number", "even", "group", "day"):
        kind = {"number": "integer", "even": "bool", "group": "keyword", "day": "datetime"}[field]
        await client.create_payload_index(name, field, kind)
    yield name
    await client.delete_collection(name)
