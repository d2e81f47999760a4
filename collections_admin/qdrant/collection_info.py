"""What Qdrant tells about a collection, as plain values with words for people."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from google.protobuf.message import Message
from qdrant_client import grpc as pb

STATUS_MEANINGS = {
    "green": "Everything is optimised; all points are searchable at full speed.",
    "yellow": "Optimising: all points are searchable, some searches are slower until it is done.",
    "grey": "Optimisation is pending and starts with the next write; searches may be slower.",
    "red": "An operation failed and Qdrant could not recover by itself; see the optimizer's error.",
    "unknown": "This Qdrant names a status that the console does not know.",
}
_STATUSES = {1: "green", 2: "yellow", 3: "red", 4: "grey"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadField:
    """`points` is the number of points the index covers."""

    name: str
    type: str
    points: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorConfig:
    """`name` is empty for the default vector; sparse vectors have size 0 and no distance."""

    name: str
    size: int
    distance: str
    on_disk: bool
    is_multi: bool = False
    is_sparse: bool = False
    hnsw_m: int | None = None
    quantization: str = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionInfo:
    """`points` and `indexed_vectors` are approximate; `points_exact` is counted, None if not asked for."""

    name: str
    status: str
    status_meaning: str
    points: int
    points_exact: int | None
    indexed_vectors: int
    segments: int
    optimizer_ok: bool
    optimizer_error: str
    payload_schema: tuple[PayloadField, ...]
    vectors: tuple[VectorConfig, ...]
    hnsw_m: int | None
    hnsw_ef_construct: int | None
    quantization: str
    on_disk_payload: bool
    strict_mode: tuple[tuple[str, str], ...]
    shards: int
    replicas: int
    queued_updates: int
    warnings: tuple[str, ...]
    created_at: datetime | None
    aliases: tuple[str, ...] = ()

    def with_names(self, *, name: str, aliases: tuple[str, ...], points_exact: int | None) -> "CollectionInfo":
        return replace(self, name=name, aliases=aliases, points_exact=points_exact)


def read_info(name: str, info: pb.CollectionInfo) -> CollectionInfo:
    config, status = info.config, _STATUSES.get(info.status, "unknown")
    return CollectionInfo(
        name=name,
        status=status,
        status_meaning=STATUS_MEANINGS[status],
        points=info.points_count,
        points_exact=None,
        indexed_vectors=info.indexed_vectors_count,
        segments=info.segments_count,
        optimizer_ok=info.optimizer_status.ok,
        optimizer_error=info.optimizer_status.error,
        payload_schema=_schema(info),
        vectors=tuple(_vectors(config.params)),
        hnsw_m=_optional(config.hnsw_config, "m"),
        hnsw_ef_construct=_optional(config.hnsw_config, "ef_construct"),
        quantization=_quantization(config),
        on_disk_payload=config.params.on_disk_payload,
        strict_mode=_strict_mode(config),
        shards=config.params.shard_number,
        replicas=config.params.replication_factor or 1,
        queued_updates=info.update_queue.length,
        warnings=tuple(warning.message for warning in info.warnings),
        created_at=_created_at(info),
    )


def _optional(message: Message, name: str) -> int | None:
    return getattr(message, name) if message.HasField(name) else None


def _created_at(info: pb.CollectionInfo) -> datetime | None:
    """None also where the client's own protocol is older than the field."""
    return info.created_at.ToDatetime(tzinfo=UTC) if info.HasField("created_at") else None


def _schema(info: pb.CollectionInfo) -> tuple[PayloadField, ...]:
    return tuple(
        PayloadField(name=name, type=_type_name(field.data_type), points=field.points)
        for name, field in sorted(info.payload_schema.items())
    )


def _type_name(number: int) -> str:
    known = number in pb.PayloadSchemaType.values()
    return pb.PayloadSchemaType.Name(number).lower() if known else f"type {number}"


def _vectors(params: pb.CollectionParams) -> Iterator[VectorConfig]:
    kind = params.vectors_config.WhichOneof("config")
    if kind == "params":
        yield _dense("", params.vectors_config.params)
    elif kind == "params_map":
        for name, vector in sorted(params.vectors_config.params_map.map.items()):
            yield _dense(name, vector)
    for name, sparse in sorted(params.sparse_vectors_config.map.items()):
        yield VectorConfig(name=name, size=0, distance="", on_disk=sparse.index.on_disk, is_sparse=True)


def _dense(name: str, vector: pb.VectorParams) -> VectorConfig:
    known = vector.distance in pb.Distance.values()
    return VectorConfig(
        name=name,
        size=vector.size,
        distance=pb.Distance.Name(vector.distance) if known else f"distance {vector.distance}",
        on_disk=vector.on_disk or vector.memory == pb.Memory.Cold,
        is_multi=vector.HasField("multivector_config"),
        hnsw_m=_optional(vector.hnsw_config, "m"),
        quantization=_quantization(vector),
    )


def _quantization(config: pb.CollectionConfig | pb.VectorParams) -> str:
    return config.quantization_config.WhichOneof("quantization") or "none"


def _strict_mode(config: pb.CollectionConfig) -> tuple[tuple[str, str], ...]:
    """The limits that are set, as name and value; nothing when strict mode is off."""
    strict = config.strict_mode_config
    if not strict.enabled:
        return ()
    return tuple((field.name, str(value)) for field, value in strict.ListFields() if field.name != "enabled")
