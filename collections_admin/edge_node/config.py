"""Collection configuration: the CreateCollection message to engine types, and the merge of an UpdateCollection."""

from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.errors import invalid, unavailable
from collections_admin.edge_node.filters import given, optional

# The engine refuses a shard without any vector, Qdrant does not: such collections get this one.
HIDDEN_VECTOR = "__payload_only__"
MAX_VECTOR_SIZE = 65_536
MAX_NAME_LENGTH = 200  # vector names become parts of file names

DISTANCES = {
    pb.Distance.Cosine: edge.Distance.Cosine,
    pb.Distance.Euclid: edge.Distance.Euclid,
    pb.Distance.Dot: edge.Distance.Dot,
    pb.Distance.Manhattan: edge.Distance.Manhattan,
}
DATATYPES = {
    pb.Datatype.Float32: edge.VectorStorageDatatype.Float32,
    pb.Datatype.Float16: edge.VectorStorageDatatype.Float16,
    pb.Datatype.Uint8: edge.VectorStorageDatatype.Uint8,
}
MEMORIES = {
    pb.Memory.Cold: edge.Memory.Cold,
    pb.Memory.Cached: edge.Memory.Cached,
    pb.Memory.Pinned: edge.Memory.Pinned,
}
OPTIMIZER_FIELDS = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
    "prevent_unoptimized",
)


def memory(message: Any, default: edge.Memory | None = None) -> edge.Memory | None:
    return MEMORIES.get(message.memory, default) if message.HasField("memory") else default


def datatype(message: Any) -> edge.VectorStorageDatatype | None:
    if not message.HasField("datatype") or message.datatype == pb.Datatype.Default:
        return None
    if message.datatype not in DATATYPES:
        raise unavailable(f"Vector datatype {pb.Datatype.Name(message.datatype)} is")
    return DATATYPES[message.datatype]


def hnsw(message: pb.HnswConfigDiff) -> edge.HnswIndexConfig:
    numbers = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0}
    numbers |= given(message, *numbers, "payload_m", "inline_storage", "on_disk")
    return edge.HnswIndexConfig(**numbers, memory=memory(message))


def _binary(message: pb.BinaryQuantization, common: dict[str, Any]) -> edge.BinaryQuantizationConfig:
    encodings = edge.BinaryQuantizationEncoding
    encoding = (encodings.OneBit, encodings.TwoBits, encodings.OneAndHalfBits)[message.encoding]
    return edge.BinaryQuantizationConfig(encoding=encoding, **common)


def _turbo(message: pb.TurboQuantization, common: dict[str, Any]) -> edge.TurboQuantQuantizationConfig:
    name = pb.TurboQuantBitSize.Name(message.bits) if message.HasField("bits") else None
    return edge.TurboQuantQuantizationConfig(bits=getattr(edge.TurboQuantBitSize, name) if name else None, **common)


def _product(message: pb.ProductQuantization, common: dict[str, Any]) -> edge.ProductQuantizationConfig:
    name = pb.CompressionRatio.Name(message.compression).upper()
    return edge.ProductQuantizationConfig(getattr(edge.CompressionRatio, name), **common)


def _scalar(message: pb.ScalarQuantization, common: dict[str, Any]) -> edge.ScalarQuantizationConfig:
    quantile = optional(message, "quantile")
    return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=quantile, **common)


QUANTIZATIONS = {"scalar": _scalar, "product": _product, "binary": _binary, "turboquant": _turbo}


def quantization(holder: Any) -> Any:
    if not holder.HasField("quantization_config"):
        return None
    kind = holder.quantization_config.WhichOneof("quantization")
    if kind not in QUANTIZATIONS:
        return None
    message = getattr(holder.quantization_config, kind)
    common = {"always_ram": optional(message, "always_ram"), "memory": memory(message)}
    try:
        return QUANTIZATIONS[kind](message, common)
    except (AttributeError, IndexError, ValueError) as error:  # an enum value of a newer client
        raise invalid(f"{kind} quantization has an unknown option: {error}") from error


def multivector(message: Any) -> edge.MultiVectorConfig | None:
    if not message.HasField("multivector_config"):
        return None
    return edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)


def distance(value: int) -> edge.Distance:
    if value not in DISTANCES:
        raise invalid("distance of a vector is missing")
    return DISTANCES[value]


def _dense_params(name: str, message: pb.VectorParams) -> edge.EdgeVectorParams:
    if not 1 <= message.size <= MAX_VECTOR_SIZE:
        raise invalid(f"size of vector `{name}` must be from 1 to {MAX_VECTOR_SIZE}, not {message.size}")
    return edge.EdgeVectorParams(
        size=message.size,
        distance=distance(message.distance),
        multivector_config=multivector(message),
        datatype=datatype(message),
        quantization_config=quantization(message),
        hnsw_config=hnsw(message.hnsw_config) if message.HasField("hnsw_config") else None,
        # Any other placement reads 32 MB into memory per shard.
        memory=memory(message, edge.Memory.Cold),
    )


def _sparse_params(message: pb.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    return edge.EdgeSparseVectorParams(
        full_scan_threshold=optional(message.index, "full_scan_threshold"),
        datatype=datatype(message.index),
        memory=memory(message.index),
        modifier=edge.Modifier.Idf if message.modifier == pb.Modifier.Idf else None,
    )


def dense_vectors(create: pb.CreateCollection) -> dict[str, pb.VectorParams]:
    """Parameters by vector name; the unnamed vector has the name `""`."""
    kind = create.vectors_config.WhichOneof("config")
    if kind == "params":
        return {"": create.vectors_config.params}
    return dict(create.vectors_config.params_map.map) if kind else {}


def _check_names(names: Any) -> None:
    for name in names:
        if len(name.encode()) > MAX_NAME_LENGTH or any(c in '/\\\0<>:"|?*' for c in name):
            raise invalid(f"vector name `{name[:50]}` is too long or has characters that file names cannot have")
        if name == HIDDEN_VECTOR:
            raise invalid(f"vector name `{name}` is taken")


def engine_config(create: pb.CreateCollection) -> edge.EdgeConfig:
    dense = {name: _dense_params(name, params) for name, params in dense_vectors(create).items()}
    sparse = {name: _sparse_params(params) for name, params in create.sparse_vectors_config.map.items()}
    _check_names([*dense, *sparse])
    if not dense and not sparse:
        sparse[HIDDEN_VECTOR] = edge.EdgeSparseVectorParams()
    return edge.EdgeConfig(
        vectors=dense or None,
        sparse_vectors=sparse or None,
        hnsw_config=hnsw(create.hnsw_config) if create.HasField("hnsw_config") else None,
        quantization_config=quantization(create),
        optimizers=edge.EdgeOptimizersConfig(**given(create.optimizers_config, *OPTIMIZER_FIELDS)),
        max_search_threads=1,  # otherwise eight threads per shard, which the GIL keeps waiting anyway
    )


def _merge_quantization(target: Any, change: Any) -> None:
    if not change.HasField("quantization_config"):
        return
    target.ClearField("quantization_config")
    kind = change.quantization_config.WhichOneof("quantization")
    if kind and kind != "disabled":
        getattr(target.quantization_config, kind).CopyFrom(getattr(change.quantization_config, kind))


def _merge_dense(target: pb.VectorParams, change: pb.VectorParamsDiff) -> None:
    target.hnsw_config.MergeFrom(change.hnsw_config)
    _merge_quantization(target, change)
    for field, value in given(change, "on_disk", "memory").items():
        setattr(target, field, value)


def _dense_changes(change: pb.UpdateCollection) -> dict[str, pb.VectorParamsDiff]:
    kind = change.vectors_config.WhichOneof("config")
    if kind == "params":
        return {"": change.vectors_config.params}
    return dict(change.vectors_config.params_map.map) if kind else {}


def _known(known: Any, name: str) -> None:
    if name not in known:
        raise invalid(f"Not existing vector name error: {name}")


def merged(create: pb.CreateCollection, change: pb.UpdateCollection) -> pb.CreateCollection:
    """A copy of `create` with an UpdateCollection applied to it."""
    result = pb.CreateCollection()
    result.CopyFrom(create)
    for field in ("optimizers_config", "hnsw_config", "strict_mode_config"):
        if change.HasField(field):
            getattr(result, field).MergeFrom(getattr(change, field))
    for field, value in given(
        change.params, "replication_factor", "write_consistency_factor", "on_disk_payload"
    ).items():
        setattr(result, field, value)
    _merge_quantization(result, change)
    for name, part in _dense_changes(change).items():
        vectors = dense_vectors(result)
        _known(vectors, name)
        _merge_dense(vectors[name], part)
    for name, part in change.sparse_vectors_config.map.items():
        _known(result.sparse_vectors_config.map, name)
        result.sparse_vectors_config.map[name].MergeFrom(part)
    for key, value in change.metadata.items():
        result.metadata[key].CopyFrom(value)
    return result


def describe(create: pb.CreateCollection) -> pb.CollectionConfig:
    """The configuration as a server shows it: what was asked for over the defaults."""
    out = pb.CollectionConfig()
    params = out.params
    params.shard_number = 1
    params.replication_factor = create.replication_factor or 1
    params.write_consistency_factor = create.write_consistency_factor or 1
    params.on_disk_payload = create.on_disk_payload if create.HasField("on_disk_payload") else True
    if create.vectors_config.WhichOneof("config"):
        params.vectors_config.CopyFrom(create.vectors_config)
    else:
        params.vectors_config.params_map.SetInParent()
    if create.HasField("sparse_vectors_config"):
        params.sparse_vectors_config.CopyFrom(create.sparse_vectors_config)
    out.hnsw_config.MergeFrom(pb.HnswConfigDiff(m=16, ef_construct=100, full_scan_threshold=10_000))
    out.hnsw_config.max_indexing_threads = 0
    out.hnsw_config.MergeFrom(create.hnsw_config)
    out.optimizer_config.MergeFrom(
        pb.OptimizersConfigDiff(
            deleted_threshold=0.2,
            vacuum_min_vector_number=1000,
            default_segment_number=0,
            indexing_threshold=10_000,
            flush_interval_sec=5,
        )
    )
    out.optimizer_config.MergeFrom(create.optimizers_config)
    out.wal_config.MergeFrom(pb.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0))
    for field in ("quantization_config", "strict_mode_config"):
        if create.HasField(field):
            getattr(out, field).CopyFrom(getattr(create, field))
    for key, value in create.metadata.items():
        out.metadata[key].CopyFrom(value)
    return out
