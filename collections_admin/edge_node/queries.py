"""Query requests, protobuf to engine: ids become vectors, defaults are filled in, nonsense is refused.

A plan is checked completely here, because a batch fails as a whole in the engine.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.catalog import Catalog
from collections_admin.edge_node.collection import Collection
from collections_admin.edge_node.errors import invalid, not_found, unavailable
from collections_admin.edge_node.filters import (
    limit_of,
    optional,
    optional_filter,
    order_by,
    search_params,
    with_payload,
    with_vectors,
)
from collections_admin.edge_node.formulas import formula
from collections_admin.edge_node.values import dense, point_id, query_vector

DEFAULT_LIMIT = 10
DEFAULT_RRF_K = 2
MAX_CANDIDATES = 16_384
MAX_PREFETCH_DEPTH = 16
RECOMMENDERS = {
    pb.RecommendStrategy.BestScore: edge.Query.RecommendBestScore,
    pb.RecommendStrategy.SumScores: edge.Query.RecommendSumScores,
}


def _average_sparse(vectors: list[edge.SparseVector]) -> dict[int, float]:
    total: dict[int, float] = {}
    for vector in vectors:
        for index, value in zip(vector.indices, vector.values, strict=True):
            total[index] = total.get(index, 0.0) + value
    return {index: value / len(vectors) for index, value in total.items()}


def average(positive: list[Any], negative: list[Any]) -> Any:
    """The vector of the strategy "average": twice the mean of the positive ones minus that of the negative ones."""
    if not positive:
        raise invalid("At least one positive vector ID required with this strategy")
    if isinstance(positive[0], edge.SparseVector):
        mean = _average_sparse(positive)
        if negative:
            other = _average_sparse(negative)
            mean = {i: 2 * mean.get(i, 0.0) - other.get(i, 0.0) for i in mean.keys() | other.keys()}
        return edge.SparseVector(sorted(mean), [mean[i] for i in sorted(mean)])
    if isinstance(positive[0][0], list):
        return [row for m in positive for row in m] + [[-x for x in row] for m in negative for row in m]
    mean = np.mean(np.asarray(positive, "f4"), axis=0)
    if negative:
        mean = mean + mean - np.mean(np.asarray(negative, "f4"), axis=0)
    return mean.tolist()


@dataclass(slots=True)
class Planner:
    """Plans the parts of one request. `used_ids` collects the points of the part at hand, which it must not return."""

    catalog: Catalog
    collection: Collection
    growth: int = 1
    used_ids: set[int | UUID] = field(default_factory=set)

    def request(self, message: Any, **overrides: Any) -> edge.QueryRequest:
        """The engine's request for a QueryPoints or QueryPointGroups message."""
        parts = self._part(message, 0)
        parts["with_payload"] = with_payload(message)
        parts["with_vector"] = self.collection.visible_vectors(with_vectors(message))
        if isinstance(message, pb.QueryPoints) and message.offset and not self._samples(message):
            parts["offset"] = min(message.offset, 2**32)
        return edge.QueryRequest(**(parts | overrides))

    @staticmethod
    def _samples(message: pb.QueryPoints) -> bool:
        return message.query.WhichOneof("variant") == "sample"  # the engine samples fewer points with an offset

    def _part(self, message: Any, depth: int) -> dict[str, Any]:
        if depth > MAX_PREFETCH_DEPTH:
            raise invalid(f"prefetch is nested deeper than {MAX_PREFETCH_DEPTH} levels")
        prefetches = [edge.Prefetch(**self._part(part, depth + 1)) for part in message.prefetch]
        limit = limit_of(message, DEFAULT_LIMIT) * (self.growth if depth else 1)
        self.used_ids = set()
        query = self._query(message, limit, bool(prefetches))
        return {
            "limit": limit,
            "query": query,
            "prefetches": prefetches or None,
            "filter": self._filter(message),
            "params": search_params(message),
            "score_threshold": optional(message, "score_threshold"),
        }

    def _filter(self, message: Any) -> edge.Filter | None:
        wanted = optional_filter(message)
        if not self.used_ids:
            return wanted
        return edge.Filter(must=[wanted] if wanted else None, must_not=[edge.HasIdCondition(set(self.used_ids))])

    def _query(self, message: Any, limit: int, has_prefetch: bool) -> Any:  # noqa: FBT001 - private
        kind = message.query.WhichOneof("variant")
        if kind is None:
            if has_prefetch:
                raise invalid("A query is needed to merge the prefetches")
            return None
        if kind in {"fusion", "rrf", "formula"} and not has_prefetch:
            raise invalid(f"Validation failed: cannot apply {kind} without prefetches")
        value = getattr(message.query, kind)
        if kind in PLAIN_QUERIES:
            return PLAIN_QUERIES[kind](value)
        if kind not in VECTOR_QUERIES:
            raise unavailable(f"Query of kind {kind} is")
        return VECTOR_QUERIES[kind](self, value, _Vectors(self, message), limit)


class _Vectors:
    """Turns the inputs of one query part into checked vectors of the right kind."""

    def __init__(self, planner: Planner, message: Any) -> None:
        self.planner = planner
        self.own = planner.collection
        self.using = message.using
        self.source, self.source_name = self.own, self.using
        if message.HasField("lookup_from"):
            lookup = message.lookup_from
            self.source = planner.catalog.get(lookup.collection_name)
            self.source_name = lookup.vector_name if lookup.HasField("vector_name") else self.using
        self.shape = self.own.shape(self.using)

    def __call__(self, message: pb.VectorInput) -> Any:
        by_id = message.WhichOneof("variant") == "id"
        vector = self._stored(point_id(message.id)) if by_id else query_vector(message)
        return self.shape.fitted(vector)

    def all(self, messages: Any) -> list[Any]:
        return [self(message) for message in messages]

    def _stored(self, identifier: int | UUID) -> Any:
        self.source.shape(self.source_name)
        if self.source is self.own:
            self.planner.used_ids.add(identifier)
        records = self.source.shard().retrieve([identifier], False, [self.source_name])  # noqa: FBT003 - engine's order
        if not records:
            raise not_found(f"No point with id {identifier} found")
        vector = records[0].vector
        if isinstance(vector, dict):
            vector = vector.get(self.source_name)
        if vector is None or vector == []:
            raise not_found(f"Point {identifier} has no vector `{self.source_name}`")
        return vector


def _fusion(value: int) -> Any:
    return edge.Fusion.Dbsf() if value == pb.Fusion.DBSF else edge.Fusion.Rrf(DEFAULT_RRF_K)


def _rrf(value: pb.Rrf) -> Any:
    k = value.k if value.HasField("k") else DEFAULT_RRF_K
    if k < 1:
        raise invalid("Validation error in body: [k: value 0 invalid, must be 1 or larger]")
    return edge.Fusion.Rrf(k, dense(value.weights) or None)


def _recommend(_: Planner, value: pb.RecommendInput, vectors: _Vectors, __: int) -> Any:
    positive, negative = vectors.all(value.positive), vectors.all(value.negative)
    if value.strategy not in RECOMMENDERS:
        return edge.Query.Nearest(average(positive, negative), vectors.using)
    if not positive and not negative:
        raise invalid("At least one positive or negative vector ID required with this strategy")
    return RECOMMENDERS[value.strategy](edge.RecommendQuery(positive, negative), vectors.using)


def _pairs(messages: Any, vectors: _Vectors) -> list[edge.ContextPair]:
    return [edge.ContextPair(vectors(pair.positive), vectors(pair.negative)) for pair in messages]


def _discover(_: Planner, value: pb.DiscoverInput, vectors: _Vectors, __: int) -> Any:
    pairs = _pairs(value.context.pairs, vectors)
    return edge.Query.Discover(edge.DiscoverQuery(vectors(value.target), pairs), vectors.using)


def _context(_: Planner, value: pb.ContextInput, vectors: _Vectors, __: int) -> Any:
    return edge.Query.Context(edge.ContextQuery(_pairs(value.pairs, vectors)), vectors.using)


def _mmr(_: Planner, value: pb.NearestInputWithMmr, vectors: _Vectors, limit: int) -> Any:
    if vectors.shape.size is None:
        raise unavailable("MMR over sparse vectors is")
    diversity = value.mmr.diversity if value.mmr.HasField("diversity") else 0.5
    if not 0 <= diversity <= 1:
        raise invalid("Validation error in body: [diversity: must be from 0 to 1]")
    candidates = value.mmr.candidates_limit if value.mmr.HasField("candidates_limit") else limit
    if value.mmr.candidates_limit > MAX_CANDIDATES:
        raise invalid(f"Validation error in body: [candidates_limit: must be {MAX_CANDIDATES} or smaller]")
    return edge.Mmr(vectors(value.nearest), 1 - diversity, min(candidates, MAX_CANDIDATES), vectors.using)


def _feedback(_: Planner, value: pb.RelevanceFeedbackInput, vectors: _Vectors, __: int) -> Any:
    naive = value.strategy.naive
    items = [edge.FeedbackItem(vectors(item.example), item.score) for item in value.feedback]
    strategy = edge.NaiveFeedbackStrategy(naive.a, naive.b, naive.c)
    return edge.Query.FeedbackNaive(edge.FeedbackNaiveQuery(vectors(value.target), items, strategy), vectors.using)


def _nearest(_: Planner, value: pb.VectorInput, vectors: _Vectors, __: int) -> Any:
    return edge.Query.Nearest(vectors(value), vectors.using)


PLAIN_QUERIES = {
    "order_by": order_by,
    "fusion": _fusion,
    "rrf": _rrf,
    "formula": formula,
    "sample": lambda _: edge.Sample.Random,
}
VECTOR_QUERIES = {
    "nearest": _nearest,
    "recommend": _recommend,
    "discover": _discover,
    "context": _context,
    "nearest_with_mmr": _mmr,
    "relevance_feedback": _feedback,
}


def scroll_request(message: pb.ScrollPoints, collection: Collection) -> edge.ScrollRequest:
    return edge.ScrollRequest(
        offset=point_id(message.offset) if message.HasField("offset") else None,
        limit=limit_of(message, DEFAULT_LIMIT),
        filter=optional_filter(message),
        with_payload=with_payload(message, default=True),
        with_vector=collection.visible_vectors(with_vectors(message)),
        order_by=order_by(message.order_by) if message.HasField("order_by") else None,
    )


def facet_hits(message: pb.FacetCounts, collection: Collection) -> list[edge.FacetHit]:
    """All hits are asked for and cut here: the engine orders equal counts anew each time."""
    limit = limit_of(message, DEFAULT_LIMIT)
    everything = edge.FacetRequest(message.key, 2**31, message.exact, optional_filter(message))
    hits = collection.shard().facet(everything).hits
    return sorted(hits, key=lambda hit: (-hit.count, str(type(hit.value)), hit.value))[:limit]


def count(message: pb.CountPoints, collection: Collection) -> int:
    exact = message.exact if message.HasField("exact") else True
    return collection.shard().count(edge.CountRequest(exact=exact, filter=optional_filter(message)))
