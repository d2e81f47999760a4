"""Filters and the other parts that reads and writes have in common, protobuf to engine."""

from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.errors import invalid
from collections_admin.edge_node.values import point_id, point_ids

# A filter goes into the WAL with deletes by filter, and the engine reads an entry back only up to 128 levels; a nested
# condition takes up to five of them.
MAX_FILTER_DEPTH = 20
MAX_LIMIT = 2**32


def optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def given(message: Any, *fields: str) -> dict[str, Any]:
    return {field: getattr(message, field) for field in fields if message.HasField(field)}


def limit_of(message: Any, default: int, field: str = "limit") -> int:
    """A limit of at least 1, cut to what the engine can multiply and add without an overflow."""
    if not message.HasField(field):
        return default
    value = getattr(message, field)
    if value < 1:
        raise invalid(f"Validation error in body: [{field}: value {value} invalid, must be 1 or larger]")
    return min(value, MAX_LIMIT)


def timestamp(message: Any) -> str:
    return message.ToJsonString()


def geo_point(message: pb.GeoPoint) -> edge.GeoPoint:
    return edge.GeoPoint(message.lon, message.lat)


MATCHES = {
    "keyword": edge.MatchValue,
    "integer": edge.MatchValue,
    "boolean": lambda value: edge.MatchValue(np.bool_(value)),  # a Python bool would be taken for an integer
    "text": edge.MatchText,
    "text_any": edge.MatchTextAny,
    "phrase": edge.MatchPhrase,
    "prefix": edge.MatchPrefix,
    "substring": edge.MatchSubstring,
    "keywords": lambda value: edge.MatchAny(value.strings[:]),
    "integers": lambda value: edge.MatchAny(value.integers[:]),
    "except_keywords": lambda value: edge.MatchExcept(value.strings[:]),
    "except_integers": lambda value: edge.MatchExcept(value.integers[:]),
}


def _match(message: pb.Match) -> Any:
    kind = message.WhichOneof("match_value")
    if kind not in MATCHES:
        raise invalid("match of a condition is empty")
    return MATCHES[kind](getattr(message, kind))


def _polygon(message: pb.GeoPolygon) -> edge.GeoPolygon:
    interiors = [[geo_point(point) for point in line.points] for line in message.interiors]
    return edge.GeoPolygon([geo_point(point) for point in message.exterior.points], interiors or None)


def _datetime_range(message: pb.DatetimeRange) -> edge.RangeDateTime:
    bounds = given(message, "lt", "gt", "gte", "lte")
    return edge.RangeDateTime(**{name: timestamp(bound) for name, bound in bounds.items()})


FIELD_PARTS = {
    "match": ("match", _match),
    "range": ("range", lambda m: edge.RangeFloat(**given(m, "lt", "gt", "gte", "lte"))),
    "datetime_range": ("range", _datetime_range),
    "values_count": ("values_count", lambda m: edge.ValuesCount(**given(m, "lt", "gt", "gte", "lte"))),
    "geo_radius": ("geo_radius", lambda m: edge.GeoRadius(geo_point(m.center), m.radius)),
    "geo_bounding_box": (
        "geo_bounding_box",
        lambda m: edge.GeoBoundingBox(geo_point(m.top_left), geo_point(m.bottom_right)),
    ),
    "geo_polygon": ("geo_polygon", _polygon),
    "is_empty": ("is_empty", bool),
    "is_null": ("is_null", bool),
}


def _field(message: pb.FieldCondition, _depth: int) -> edge.FieldCondition:
    parts = {
        FIELD_PARTS[field.name][0]: FIELD_PARTS[field.name][1](value)
        for field, value in message.ListFields()
        if field.name in FIELD_PARTS
    }
    if not parts:
        raise invalid(f"condition on `{message.key}` says nothing to compare with")
    return edge.FieldCondition(message.key, **parts)


CONDITIONS = {
    "field": _field,
    "is_empty": lambda m, _: edge.IsEmptyCondition(m.key),
    "is_null": lambda m, _: edge.IsNullCondition(m.key),
    "has_id": lambda m, _: edge.HasIdCondition(set(point_ids(m.has_id))),
    "filter": lambda m, depth: filter_to_engine(m, depth + 1),
    "nested": lambda m, depth: edge.NestedCondition(m.key, filter_to_engine(m.filter, depth + 1)),
    "has_vector": lambda m, _: edge.HasVectorCondition(m.has_vector),
    "slice": lambda m, _: edge.SliceCondition(m.total, m.index),
}


def condition(message: pb.Condition, depth: int = 0) -> Any:
    kind = message.WhichOneof("condition_one_of")
    if kind not in CONDITIONS:
        raise invalid("condition of a filter is empty")
    return CONDITIONS[kind](getattr(message, kind), depth)


def _conditions(messages: Any, depth: int) -> list[Any] | None:
    return [condition(message, depth) for message in messages] or None


def filter_to_engine(message: pb.Filter, depth: int = 0) -> edge.Filter:
    if depth >= MAX_FILTER_DEPTH:
        raise invalid(f"filter is nested deeper than {MAX_FILTER_DEPTH} levels")
    at_least = None
    if message.HasField("min_should"):
        wanted = message.min_should
        at_least = edge.MinShould(_conditions(wanted.conditions, depth) or [], wanted.min_count)
    return edge.Filter(
        must=_conditions(message.must, depth),
        should=_conditions(message.should, depth),
        must_not=_conditions(message.must_not, depth),
        min_should=at_least,
    )


def optional_filter(message: Any, field: str = "filter") -> edge.Filter | None:
    return filter_to_engine(getattr(message, field)) if message.HasField(field) else None


def with_payload(message: Any, *, default: bool = False) -> Any:
    if not message.HasField("with_payload"):
        return default
    selector = message.with_payload
    kind = selector.WhichOneof("selector_options")
    if kind == "include":
        return edge.PayloadSelector.Include(selector.include.fields[:])
    if kind == "exclude":
        return edge.PayloadSelector.Exclude(selector.exclude.fields[:])
    return selector.enable


def with_vectors(message: Any) -> bool | list[str]:
    if not message.HasField("with_vectors"):
        return False
    selector = message.with_vectors
    if selector.WhichOneof("selector_options") == "include":
        return selector.include.names[:]
    return selector.enable


def search_params(message: Any) -> edge.SearchParams | None:
    if not message.HasField("params"):
        return None
    params = message.params
    parts = given(params, "hnsw_ef", "exact", "indexed_only")
    if params.HasField("quantization"):
        fields = given(params.quantization, "ignore", "rescore", "oversampling")
        parts["quantization"] = edge.QuantizationSearchParams(**fields)
    if params.HasField("acorn"):
        parts["acorn"] = edge.AcornSearchParams(**given(params.acorn, "enable", "max_selectivity"))
    if params.HasField("idf"):
        parts["idf"] = edge.IdfParams(optional_filter(params.idf, "corpus"))
    return edge.SearchParams(**parts)


def order_by(message: pb.OrderBy) -> edge.OrderBy:
    start = None
    if message.HasField("start_from"):
        kind = message.start_from.WhichOneof("value")
        if kind is None:
            raise invalid("start_from of order_by is empty")
        start = getattr(message.start_from, kind)
        start = timestamp(start) if kind == "timestamp" else start
    descending = optional(message, "direction") == pb.Direction.Desc
    return edge.OrderBy(message.key, edge.Direction.Desc if descending else edge.Direction.Asc, start)


def select(message: pb.PointsSelector, by_ids: Any, by_filter: Any, *rest: Any) -> Any:
    """The engine's operation for a selector: `by_ids` or `by_filter`, each called with `rest` behind it."""
    kind = message.WhichOneof("points_selector_one_of")
    if kind == "points":
        return by_ids([point_id(p) for p in message.points.ids], *rest)
    if kind == "filter":
        return by_filter(filter_to_engine(message.filter), *rest)
    raise invalid("points selector is missing")
