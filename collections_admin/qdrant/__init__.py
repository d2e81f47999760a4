"""The only place that talks to Qdrant. The rest of the project sees these functions, dataclasses and errors.

client.py        configuration; one connection per process and event loop
calls.py         how a call is made: slot, deadline, retries, errors, timing
errors.py        what can go wrong, as errors of ours; outage.py: since when
observer.py      timings of every call
health.py        is Qdrant there, and which version
collections.py   collections, aliases, indexes (collection_spec.py in, collection_info.py out)
points.py        writing; reading.py: by id, page, count, facet; search.py: nearest points
filters.py       conditions; values.py: ids, payloads and vectors as messages
"""

from collections_admin.qdrant.client import LaneName, QdrantConfig, close_connections, configure, current_config
from collections_admin.qdrant.collection_info import CollectionInfo, PayloadField, VectorConfig
from collections_admin.qdrant.collection_spec import (
    PAYLOAD_INDEXES,
    CollectionSpec,
    Distance,
    PayloadIndex,
    Quantization,
    StrictMode,
)
from collections_admin.qdrant.collections import (
    EnsureResult,
    collection_exists,
    collection_info,
    create_collection,
    create_payload_index,
    delete_alias,
    delete_collection,
    ensure_collection,
    list_aliases,
    list_collections,
    switch_alias,
    update_collection,
)
from collections_admin.qdrant.errors import (
    AlreadyExists,
    CollectionMissing,
    MessageTooLarge,
    PointMissing,
    QdrantOverloaded,
    WriteUnknown,
)
from collections_admin.qdrant.filters import (
    And,
    AnyOf,
    Equals,
    Filter,
    HasId,
    IsEmpty,
    IsNull,
    Not,
    Or,
    Range,
    TextMatch,
)
from collections_admin.qdrant.health import Health, check_health, last_health
from collections_admin.qdrant.observer import OperationTiming, add_observer
from collections_admin.qdrant.points import (
    PointToWrite,
    WriteResult,
    delete_by_filter,
    delete_payload,
    delete_points,
    set_payload,
    upsert_points,
)
from collections_admin.qdrant.reading import (
    FacetValue,
    OrderBy,
    Page,
    Point,
    UnreadablePoint,
    count,
    facet,
    retrieve,
    scroll,
)
from collections_admin.qdrant.search import Hit, SearchResult, query, query_many
from collections_admin.qdrant.values import Payload, PointId, Vector

__all__ = [
    "PAYLOAD_INDEXES",
    "AlreadyExists",
    "And",
    "AnyOf",
    "CollectionInfo",
    "CollectionMissing",
    "CollectionSpec",
    "Distance",
    "EnsureResult",
    "Equals",
    "FacetValue",
    "Filter",
    "HasId",
    "Health",
    "Hit",
    "IsEmpty",
    "IsNull",
    "LaneName",
    "MessageTooLarge",
    "Not",
    "OperationTiming",
    "Or",
    "OrderBy",
    "Page",
    "Payload",
    "PayloadField",
    "PayloadIndex",
    "Point",
    "PointId",
    "PointMissing",
    "PointToWrite",
    "QdrantConfig",
    "QdrantOverloaded",
    "Quantization",
    "Range",
    "SearchResult",
    "StrictMode",
    "TextMatch",
    "UnreadablePoint",
    "Vector",
    "VectorConfig",
    "WriteResult",
    "WriteUnknown",
    "add_observer",
    "check_health",
    "close_connections",
    "collection_exists",
    "collection_info",
    "configure",
    "count",
    "create_collection",
    "create_payload_index",
    "current_config",
    "delete_alias",
    "delete_by_filter",
    "delete_collection",
    "delete_payload",
    "delete_points",
    "ensure_collection",
    "facet",
    "last_health",
    "list_aliases",
    "list_collections",
    "query",
    "query_many",
    "retrieve",
    "scroll",
    "set_payload",
    "switch_alias",
    "update_collection",
    "upsert_points",
]
