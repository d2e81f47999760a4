"""What the embedded node lacks is answered by a sentence."""

import grpc
import pytest
from qdrant_client import grpc as pb
from qdrant_client import models
from qdrant_client.grpc import (
    collections_service_pb2_grpc,
    points_service_pb2_grpc,
    snapshots_service_pb2_grpc,
)

from collections_admin.edge_node.services_collections import CollectionsService
from collections_admin.edge_node.services_points import PointsService
from tests.edge_node.calling import refused

SERVICES = {
    "Collections": (collections_service_pb2_grpc.CollectionsServicer, CollectionsService),
    "Points": (points_service_pb2_grpc.PointsServicer, PointsService),
    "Snapshots": (snapshots_service_pb2_grpc.SnapshotsServicer, object),
}
MISSING = [
    f"/qdrant.{service}/{name}"
    for service, (base, own) in SERVICES.items()
    for name in vars(base)
    if not name.startswith("_") and name not in vars(own)
]


@pytest.mark.parametrize("path", MISSING)
async def test_a_call_that_the_node_lacks_says_so(edge_node, path):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge_node.port}") as channel:
        with refused("UNIMPLEMENTED", "not available in the embedded node."):
            await channel.unary_unary(path)(b"")


def test_the_calls_that_the_node_lacks_are_these():
    assert len(MISSING) == 23
    assert "/qdrant.Points/Search" in MISSING
    assert "/qdrant.Snapshots/Create" in MISSING


async def test_inference_on_the_server_says_so(client, table):
    text = models.Document(text="words", model="some/model")
    with refused("UNIMPLEMENTED", "Inference on the server (document) is not available"):
        vector = pb.Vector(document=pb.Document(text="words", model="some/model"))
        point = pb.PointStruct(id=pb.PointId(num=1), vectors=pb.Vectors(vector=vector))
        await client.grpc_points.Upsert(pb.UpsertPoints(collection_name=table, points=[point]))
    with refused("UNIMPLEMENTED", "Inference on the server (document) is not available"):
        nearest = pb.VectorInput(document=pb.Document(text=text.text, model=text.model))
        await client.grpc_points.Query(pb.QueryPoints(collection_name=table, query=pb.Query(nearest=nearest)))


async def test_shard_keys_and_custom_sharding_say_so(client, table, name):
    with refused("UNIMPLEMENTED", "Shard keys are not available"):
        await client.scroll(table, shard_key_selector="a")
    with refused("UNIMPLEMENTED", "Custom sharding is not available"):
        await client.create_collection(name, vectors_config={}, sharding_method=models.ShardingMethod.CUSTOM)


async def test_an_unknown_vector_datatype_says_so(client, name):
    params = pb.VectorParams(size=4, distance=pb.Distance.Dot, datatype=pb.Datatype.Turbo4)
    request = pb.CreateCollection(collection_name=name, vectors_config=pb.VectorsConfig(params=params))
    with refused("UNIMPLEMENTED", "Vector datatype Turbo4 is not available"):
        await client.grpc_collections.Create(request)
    assert not await client.collection_exists(name)


async def test_the_health_check_answers(client):
    assert (await client.info()).title.startswith("qdrant")
