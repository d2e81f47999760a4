"""The Collections and Qdrant (health) services."""

# ruff: noqa: N802 - the methods have the names of the RPCs

from datetime import datetime

from google.protobuf.json_format import ParseDict
from qdrant_client import grpc as pb
from qdrant_client.grpc import collections_service_pb2_grpc, qdrant_pb2_grpc

from collections_admin.edge_node.catalog import Catalog
from collections_admin.edge_node.collection import Collection
from collections_admin.edge_node.config import describe, merged
from collections_admin.edge_node.errors import unavailable
from collections_admin.edge_node.indexes import described_by_engine

VERSION = "1.20.0"  # the API version that the node speaks


def collection_info(collection: Collection) -> pb.CollectionInfo:
    info = collection.shard().info()
    out = pb.CollectionInfo(
        status=pb.CollectionStatus.Green,
        segments_count=info.segments_count,
        points_count=info.points_count,
        indexed_vectors_count=info.indexed_vectors_count,
        config=describe(collection.message),
    )
    out.optimizer_status.ok = True
    out.update_queue.length = 0
    out.created_at.FromDatetime(datetime.fromisoformat(collection.meta["created_at"]))
    for name, index in info.payload_schema.items():
        saved = collection.meta["indexes"].get(name)
        shown = ParseDict(saved, pb.PayloadSchemaInfo()) if saved else described_by_engine(index)
        shown.points = index.points
        out.payload_schema[name].CopyFrom(shown)
    return out


def _aliases(pairs: list[tuple[str, str]]) -> pb.ListAliasesResponse:
    descriptions = [pb.AliasDescription(alias_name=a, collection_name=c) for a, c in pairs]
    return pb.ListAliasesResponse(aliases=descriptions)


class CollectionsService(collections_service_pb2_grpc.CollectionsServicer):
    """Collections and aliases. Calls that are not defined here are answered by `server`."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    async def Create(self, request: pb.CreateCollection) -> pb.CollectionOperationResponse:
        if request.HasField("sharding_method") and request.sharding_method != pb.ShardingMethod.Auto:
            raise unavailable("Custom sharding is")
        self.catalog.create(request)
        return pb.CollectionOperationResponse(result=True)

    async def Update(self, request: pb.UpdateCollection) -> pb.CollectionOperationResponse:
        collection = self.catalog.get(request.collection_name)
        collection.reconfigure(merged(collection.message, request))
        return pb.CollectionOperationResponse(result=True)

    async def Delete(self, request: pb.DeleteCollection) -> pb.CollectionOperationResponse:
        return pb.CollectionOperationResponse(result=await self.catalog.delete(request.collection_name))

    async def Get(self, request: pb.GetCollectionInfoRequest) -> pb.GetCollectionInfoResponse:
        return pb.GetCollectionInfoResponse(result=collection_info(self.catalog.get(request.collection_name)))

    async def List(self, _: pb.ListCollectionsRequest) -> pb.ListCollectionsResponse:
        names = [pb.CollectionDescription(name=name) for name in self.catalog.collections]
        return pb.ListCollectionsResponse(collections=names)

    async def CollectionExists(self, request: pb.CollectionExistsRequest) -> pb.CollectionExistsResponse:
        return pb.CollectionExistsResponse(result=pb.CollectionExists(exists=self.catalog.has(request.collection_name)))

    async def UpdateAliases(self, request: pb.ChangeAliases) -> pb.CollectionOperationResponse:
        self.catalog.change_aliases(list(request.actions))
        return pb.CollectionOperationResponse(result=True)

    async def ListAliases(self, _: pb.ListAliasesRequest) -> pb.ListAliasesResponse:
        return _aliases(list(self.catalog.aliases.items()))

    async def ListCollectionAliases(self, request: pb.ListCollectionAliasesRequest) -> pb.ListAliasesResponse:
        name = self.catalog.get(request.collection_name).name
        return _aliases([(a, c) for a, c in self.catalog.aliases.items() if c == name])


class HealthService(qdrant_pb2_grpc.QdrantServicer):
    async def HealthCheck(self, _: pb.HealthCheckRequest) -> pb.HealthCheckReply:
        return pb.HealthCheckReply(title="qdrant - vector search engine", version=VERSION)
