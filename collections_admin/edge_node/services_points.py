"""The Points service."""

# ruff: noqa: N802 - the methods have the names of the RPCs

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

import qdrant_edge as edge
from qdrant_client import grpc as pb
from qdrant_client.grpc import points_service_pb2_grpc

from collections_admin.edge_node import queries, updates
from collections_admin.edge_node.catalog import Catalog
from collections_admin.edge_node.coalescing import MAX_BATCH, SearchQueue
from collections_admin.edge_node.collection import Collection
from collections_admin.edge_node.errors import unavailable
from collections_admin.edge_node.filters import with_payload, with_vectors
from collections_admin.edge_node.groups import GroupedQuery
from collections_admin.edge_node.indexes import index_schema
from collections_admin.edge_node.values import payload_key, point_ids, write_id, write_record, write_scored

ROWS_PER_ROUND = 500  # about 10 ms


def _result(number: int, request: Any) -> pb.UpdateResult:
    """Every write is applied before it is answered; who did not ask to wait is told what a server would say."""
    status = pb.UpdateStatus.Completed if request.wait else pb.UpdateStatus.Acknowledged
    return pb.UpdateResult(operation_id=number, status=status)


def _refuse_shard_keys(request: Any) -> None:
    if request.HasField("shard_key_selector"):
        raise unavailable("Shard keys are")


class PointsService(points_service_pb2_grpc.PointsServicer):
    """Points. Calls that are not defined here are answered by `server`."""

    def __init__(self, catalog: Catalog, *, max_batch: int = MAX_BATCH) -> None:
        self.catalog = catalog
        self._max_batch = max_batch
        self._queues: WeakKeyDictionary[Collection, SearchQueue] = WeakKeyDictionary()

    async def _write(
        self, request: Any, convert: Callable[[Any, Collection], Awaitable[edge.UpdateOperation]]
    ) -> pb.PointsOperationResponse:
        collection = self.catalog.get(request.collection_name)
        _refuse_shard_keys(request)
        number = collection.update(await convert(request, collection))
        return pb.PointsOperationResponse(result=_result(number, request))

    async def Upsert(self, request: pb.UpsertPoints) -> pb.PointsOperationResponse:
        return await self._write(request, updates.upsert)

    async def Delete(self, request: pb.DeletePoints) -> pb.PointsOperationResponse:
        return await self._write(request, updates.delete_points)

    async def UpdateVectors(self, request: pb.UpdatePointVectors) -> pb.PointsOperationResponse:
        return await self._write(request, updates.update_vectors)

    async def DeleteVectors(self, request: pb.DeletePointVectors) -> pb.PointsOperationResponse:
        return await self._write(request, updates.delete_vectors)

    async def SetPayload(self, request: pb.SetPayloadPoints) -> pb.PointsOperationResponse:
        return await self._write(request, updates.set_payload)

    async def OverwritePayload(self, request: pb.SetPayloadPoints) -> pb.PointsOperationResponse:
        return await self._write(request, updates.overwrite_payload)

    async def DeletePayload(self, request: pb.DeletePayloadPoints) -> pb.PointsOperationResponse:
        return await self._write(request, updates.delete_payload)

    async def ClearPayload(self, request: pb.ClearPayloadPoints) -> pb.PointsOperationResponse:
        return await self._write(request, updates.clear_payload)

    async def UpdateBatch(self, request: pb.UpdateBatchPoints) -> pb.UpdateBatchResponse:
        collection = self.catalog.get(request.collection_name)
        out = pb.UpdateBatchResponse()
        for message in request.operations:
            number = collection.update(await updates.batched(message, collection))
            out.result.append(_result(number, request))
            await asyncio.sleep(0)
        return out

    async def CreateFieldIndex(self, request: pb.CreateFieldIndexCollection) -> pb.PointsOperationResponse:
        collection = self.catalog.get(request.collection_name)
        schema, info = index_schema(request)
        number = collection.create_index(payload_key(request.field_name), schema, info)
        return pb.PointsOperationResponse(result=_result(number, request))

    async def DeleteFieldIndex(self, request: pb.DeleteFieldIndexCollection) -> pb.PointsOperationResponse:
        number = self.catalog.get(request.collection_name).delete_index(request.field_name)
        return pb.PointsOperationResponse(result=_result(number, request))

    async def Get(self, request: pb.GetPoints) -> pb.GetResponse:
        collection = self.catalog.get(request.collection_name)
        _refuse_shard_keys(request)
        vectors = collection.visible_vectors(with_vectors(request))
        payload = with_payload(request, default=True)
        out = pb.GetResponse()
        await _write_records(out.result, collection.shard().retrieve(point_ids(request.ids), payload, vectors))
        return out

    async def Scroll(self, request: pb.ScrollPoints) -> pb.ScrollResponse:
        collection = self.catalog.get(request.collection_name)
        _refuse_shard_keys(request)
        records, following = collection.shard().scroll(queries.scroll_request(request, collection))
        out = pb.ScrollResponse()
        await _write_records(out.result, records)
        if following is not None and not request.HasField("order_by"):
            write_id(out.next_page_offset, following)
        return out

    async def Count(self, request: pb.CountPoints) -> pb.CountResponse:
        _refuse_shard_keys(request)
        number = queries.count(request, self.catalog.get(request.collection_name))
        return pb.CountResponse(result=pb.CountResult(count=number))

    async def Facet(self, request: pb.FacetCounts) -> pb.FacetResponse:
        _refuse_shard_keys(request)
        out = pb.FacetResponse()
        for hit in queries.facet_hits(request, self.catalog.get(request.collection_name)):
            shown = out.hits.add(count=hit.count)
            if type(hit.value) is bool:
                shown.value.bool_value = hit.value
            elif type(hit.value) is int:
                shown.value.integer_value = hit.value
            else:
                shown.value.string_value = hit.value
        return out

    def _queue(self, collection: Collection) -> SearchQueue:
        queue = self._queues.get(collection)
        if queue is None:
            queue = self._queues[collection] = SearchQueue(collection.shard, max_batch=self._max_batch)
        return queue

    async def _search(self, collection: Collection, request: pb.QueryPoints) -> list[edge.ScoredPoint]:
        _refuse_shard_keys(request)
        planner = queries.Planner(self.catalog, collection)
        return await self._queue(collection).search(lambda: planner.request(request))

    async def Query(self, request: pb.QueryPoints) -> pb.QueryResponse:
        collection = self.catalog.get(request.collection_name)
        points = await self._search(collection, request)
        out = pb.QueryResponse()
        await _write_points(out.result, points, request)
        return out

    async def QueryBatch(self, request: pb.QueryBatchPoints) -> pb.QueryBatchResponse:
        collection = self.catalog.get(request.collection_name)
        searches = [self._search(collection, query) for query in request.query_points]
        answers = await asyncio.gather(*searches)
        out = pb.QueryBatchResponse()
        for query, points in zip(request.query_points, answers, strict=True):
            await _write_points(out.result.add().result, points, query)
        return out

    async def QueryGroups(self, request: pb.QueryPointGroups) -> pb.QueryGroupsResponse:
        collection = self.catalog.get(request.collection_name)
        _refuse_shard_keys(request)
        grouped = GroupedQuery(self.catalog, collection, request, self._queue(collection).search)
        return grouped.answer(await grouped.run())


async def _write_records(target: Any, records: list[edge.Record]) -> None:
    """Write in portions, so that a large answer does not hold up the other calls."""
    add = target.add
    for start in range(0, len(records), ROWS_PER_ROUND):
        if start:
            await asyncio.sleep(0)
        for record in records[start : start + ROWS_PER_ROUND]:
            write_record(add(), record)


async def _write_points(target: Any, points: list[edge.ScoredPoint], request: pb.QueryPoints) -> None:
    vectors = with_vectors(request) is not False
    add = target.add
    for start in range(0, len(points), ROWS_PER_ROUND):
        if start:
            await asyncio.sleep(0)
        for point in points[start : start + ROWS_PER_ROUND]:
            write_scored(add(), point, vectors=vectors)
