"""Queries grouped by a payload field.

Groups are ranked by their best point. A first series of searches finds the groups, each leaving out those already
found; then groups that are not full are filled by one search each. A query over prefetches is instead repeated with
growing limits, because the scores of a fusion change with a filter.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.catalog import Catalog
from collections_admin.edge_node.collection import Collection
from collections_admin.edge_node.errors import NodeError, invalid
from collections_admin.edge_node.filters import limit_of, optional_filter, with_payload, with_vectors
from collections_admin.edge_node.queries import Planner
from collections_admin.edge_node.values import point_id, write_payload, write_record, write_scored

Search = Callable[[Callable[[], edge.QueryRequest]], Awaitable[list[Any]]]
Groups = dict[int | str, list[Any]]

DEFAULT_SIZE = 3
MIN_FETCH = 100
MAX_FETCH = 2**31
MAX_GROUPS = 10_000


def values_at(payload: Any, path: str) -> list[int | str]:
    """The integers and strings at a payload path, without repetition."""
    level = [payload]
    for part in path.replace("[]", "").split("."):
        level = [item for node in level for item in (node if isinstance(node, list) else [node])]
        level = [node[part] for node in level if isinstance(node, dict) and part in node]
    flat = [item for node in level for item in (node if isinstance(node, list) else [node])]
    return list(dict.fromkeys(item for item in flat if type(item) in {int, str}))


class GroupedQuery:
    """One QueryGroups call: `run` finds the groups, `answer` writes them."""

    def __init__(self, catalog: Catalog, collection: Collection, message: pb.QueryPointGroups, search: Search) -> None:
        self.catalog = catalog
        self.collection = collection
        self.message = message
        self.search = search
        self.key = message.group_by
        self.limit = min(limit_of(message, 10), MAX_GROUPS)
        self.size = limit_of(message, DEFAULT_SIZE, "group_size")
        if not self.key:
            raise invalid("Validation error in body: [group_by: value must not be empty]")

    async def run(self) -> Groups:
        if self.message.prefetch:
            return await self._grow()
        groups = await self._discover()
        await self._fill(groups)
        return groups

    def _request(self, limit: int, growth: int = 1, **parts: Any) -> edge.QueryRequest:
        planner = Planner(self.catalog, self.collection, growth=growth)
        wanted = [optional_filter(self.message), parts.pop("extra", None)]
        request = planner.request(
            self.message,
            limit=limit,
            with_payload=edge.PayloadSelector.Include([self.key]),
            with_vector=False,
        )
        # The planner's own filter is kept: it leaves out the points that the query was made from.
        wanted[0] = request.filter
        return edge.QueryRequest(
            limit=request.limit,
            query=request.query,
            prefetches=request.prefetches or None,
            filter=edge.Filter(must=[part for part in wanted if part], must_not=[edge.IsEmptyCondition(self.key)]),
            params=request.params,
            score_threshold=request.score_threshold,
            with_payload=request.with_payload,
            with_vector=False,
        )

    def _collect(self, groups: Groups, points: list[Any]) -> None:
        for point in points:
            for value in values_at(point.payload or {}, self.key):
                hits = groups.setdefault(value, [])
                if len(hits) < self.size:
                    hits.append(point)

    def _cut(self, groups: Groups) -> None:
        for value in list(groups)[self.limit :]:
            del groups[value]

    async def _discover(self) -> Groups:
        groups: Groups = {}
        fetch = min(max(self.limit * self.size, MIN_FETCH), MAX_FETCH)
        while True:
            others = edge.Filter(must_not=self._any_of(groups)) if groups else None
            points = await self.search(partial(self._request, fetch, extra=others))
            before = len(groups)
            self._collect(groups, points)
            if len(points) < fetch or len(groups) >= self.limit:
                break
            if len(groups) == before:  # points whose values cannot name a group
                if fetch == MAX_FETCH:
                    break
                fetch = min(fetch * 4, MAX_FETCH)
        self._cut(groups)
        return groups

    def _any_of(self, values: Any) -> list[edge.FieldCondition]:
        kinds = ([v for v in values if type(v) is kind] for kind in (int, str))
        return [edge.FieldCondition(self.key, match=edge.MatchAny(same)) for same in kinds if same]

    async def _fill(self, groups: Groups) -> None:
        short = [value for value, hits in groups.items() if len(hits) < self.size]
        for value in short:
            only = edge.Filter(must=self._any_of([value]))
            points = await self.search(partial(self._request, self.size, extra=only))
            groups[value] = points or groups[value]

    async def _grow(self) -> Groups:
        fetch = min(max(self.limit * self.size * 4, MIN_FETCH), MAX_FETCH)
        growth = min(self.size, MIN_FETCH)
        while True:
            points = await self.search(partial(self._request, fetch, growth))
            groups: Groups = {}
            self._collect(groups, points)
            full = sum(len(hits) == self.size for hits in list(groups.values())[: self.limit])
            if len(points) < fetch or full >= self.limit or fetch >= MAX_FETCH:
                self._cut(groups)
                return groups
            fetch = min(fetch * 4, MAX_FETCH)

    def answer(self, groups: Groups) -> pb.QueryGroupsResponse:
        out = pb.QueryGroupsResponse()
        out.result.SetInParent()
        records = self._records(groups)
        lookups = self._lookups(groups)
        for value, hits in groups.items():
            group = out.result.groups.add()
            _write_group_id(group.id, value)
            for point in hits:
                self._write_hit(group.hits.add(), point, records.get(point.id))
            if value in lookups:
                write_record(group.lookup, lookups[value])
        return out

    def _write_hit(self, target: pb.ScoredPoint, point: Any, record: Any) -> None:
        write_scored(target, point, vectors=False)
        target.ClearField("payload")
        if record is not None:
            write_payload(target.payload, record.payload)
            if record.vector is not None:
                write_record(target, record)

    def _records(self, groups: Groups) -> dict[Any, Any]:
        """Payload and vectors of all hits, read once."""
        payload = with_payload(self.message)
        vectors = self.collection.visible_vectors(with_vectors(self.message))
        if payload is False and vectors is False:
            return {}
        identifiers = list({point.id for hits in groups.values() for point in hits})
        records = self.collection.shard().retrieve(identifiers, payload, vectors)
        return {record.id: record for record in records}

    def _lookups(self, groups: Groups) -> dict[int | str, Any]:
        if not self.message.HasField("with_lookup"):
            return {}
        wanted = self.message.with_lookup
        other = self.catalog.get(wanted.collection)
        identifiers = {value: found for value in groups if (found := _as_id(value)) is not None}
        payload, vectors = with_payload(wanted, default=True), with_vectors(wanted)
        records = other.shard().retrieve(list(identifiers.values()), payload, other.visible_vectors(vectors))
        by_id = {record.id: record for record in records}
        return {value: by_id[i] for value, i in identifiers.items() if i in by_id}


def _as_id(value: int | str) -> int | UUID | None:
    if isinstance(value, int):
        return value if value >= 0 else None
    try:
        return point_id(pb.PointId(uuid=value))
    except NodeError:
        return None


def _write_group_id(target: pb.GroupId, value: int | str) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif value >= 0:
        target.unsigned_value = value
    else:
        target.integer_value = value
