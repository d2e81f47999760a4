"""How a collection of ours is set up: vectors, HNSW, quantisation, disk, strict mode, payload indexes."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

from qdrant_client import grpc as pb

from collections_admin.errors import InvalidInput

Distance = Literal["Cosine", "Dot", "Euclid", "Manhattan"]
Quantization = Literal["none", "scalar", "product", "binary"]
IndexType = Literal["keyword", "integer", "float", "datetime", "text", "bool", "uuid"]
MAX_VECTOR_SIZE = 65_536
_DISTANCES = {"Cosine", "Dot", "Euclid", "Manhattan"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StrictMode:
    """Limits that Qdrant itself enforces on a collection; None leaves one out."""

    max_query_limit: int | None = None
    unindexed_filtering_retrieve: bool | None = None
    unindexed_filtering_update: bool | None = None
    upsert_max_batchsize: int | None = None
    max_points_count: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionSpec:
    """Raises InvalidInput naming the field. `on_disk_*` trades memory for time; HNSW None: as the server."""

    vector_size: int
    distance: Distance = "Cosine"
    hnsw_m: int | None = None
    hnsw_ef_construct: int | None = None
    quantization: Quantization = "none"
    on_disk_vectors: bool = False
    on_disk_payload: bool = True
    strict_mode: StrictMode | None = None

    def __post_init__(self) -> None:
        _check_number("vector_size", self.vector_size, 1, MAX_VECTOR_SIZE)
        _check_choice("distance", self.distance, _DISTANCES)
        _check_choice("quantization", self.quantization, {"none", "scalar", "product", "binary"})
        if self.hnsw_m is not None:
            _check_number("hnsw_m", self.hnsw_m, 0, 512)
        if self.hnsw_ef_construct is not None:
            _check_number("hnsw_ef_construct", self.hnsw_ef_construct, 4, 10_000)


def _check_number(field: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(field, f"{field} must be a whole number between {low} and {high}.")


def _check_choice(field: str, value: object, choices: set[str]) -> None:
    if value not in choices:
        raise InvalidInput(field, f"{field} must be one of {', '.join(sorted(choices))}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadIndex:
    """`filters_search`: vector searches are filtered by the field, so it is worth links in the HNSW graph."""

    field: str
    type: IndexType
    filters_search: bool = False


# No field is a Qdrant "tenant": a collection holds one tenant's table, and documents of some tens of chunks
# are found by their index alone. The text index on `content` makes text match possible under strict mode and
# takes it from about 1 s to 1 ms at 100,000 chunks; it costs memory as the text grows, so it is the only one.
PAYLOAD_INDEXES: tuple[PayloadIndex, ...] = (
    PayloadIndex(field="tenant_id", type="integer"),
    PayloadIndex(field="table_name", type="keyword"),
    PayloadIndex(field="document_id", type="keyword", filters_search=True),
    PayloadIndex(field="external_id", type="keyword", filters_search=True),
    PayloadIndex(field="title", type="keyword"),
    PayloadIndex(field="chunk_index", type="integer"),
    PayloadIndex(field="content", type="text"),
    PayloadIndex(field="content_hash", type="keyword"),
    PayloadIndex(field="embedding_model", type="keyword", filters_search=True),
    PayloadIndex(field="archived_at", type="datetime", filters_search=True),
    PayloadIndex(field="indexed_at", type="datetime"),
    PayloadIndex(field="rev", type="integer"),
)


def create_message(name: str, spec: CollectionSpec) -> pb.CreateCollection:
    """`on_disk` flags instead of the newer `memory`: servers one minor version back know only them."""
    vectors = pb.VectorParams(
        size=spec.vector_size, distance=pb.Distance.Value(spec.distance), on_disk=spec.on_disk_vectors
    )
    return pb.CreateCollection(
        collection_name=name,
        vectors_config=pb.VectorsConfig(params=vectors),
        hnsw_config=_hnsw(spec),
        on_disk_payload=spec.on_disk_payload,
        quantization_config=_quantization(spec.quantization),
        strict_mode_config=_strict_mode(spec.strict_mode),
    )


def update_message(name: str, spec: CollectionSpec) -> pb.UpdateCollection:
    vectors = pb.VectorParamsDiff(on_disk=spec.on_disk_vectors)
    return pb.UpdateCollection(
        collection_name=name,
        params=pb.CollectionParamsDiff(on_disk_payload=spec.on_disk_payload),
        hnsw_config=_hnsw(spec),
        vectors_config=pb.VectorsConfigDiff(params=vectors),
        quantization_config=_quantization_diff(spec.quantization),
        strict_mode_config=_strict_mode(spec.strict_mode) or pb.StrictModeConfig(enabled=False),
    )


def _hnsw(spec: CollectionSpec) -> pb.HnswConfigDiff | None:
    if spec.hnsw_m is None and spec.hnsw_ef_construct is None:
        return None
    return pb.HnswConfigDiff(m=spec.hnsw_m, ef_construct=spec.hnsw_ef_construct)


def _quantization(kind: Quantization) -> pb.QuantizationConfig | None:
    match kind:
        case "scalar":
            return pb.QuantizationConfig(
                scalar=pb.ScalarQuantization(type=pb.QuantizationType.Int8, quantile=0.99, always_ram=True)
            )
        case "product":
            return pb.QuantizationConfig(
                product=pb.ProductQuantization(compression=pb.CompressionRatio.x16, always_ram=True)
            )
        case "binary":
            return pb.QuantizationConfig(binary=pb.BinaryQuantization(always_ram=True))
    return None


def _quantization_diff(kind: Quantization) -> pb.QuantizationConfigDiff:
    config = _quantization(kind)
    if config is None:
        return pb.QuantizationConfigDiff(disabled=pb.Disabled())
    chosen = config.WhichOneof("quantization")
    return pb.QuantizationConfigDiff(**{chosen: getattr(config, chosen)})


def _strict_mode(strict: StrictMode | None) -> pb.StrictModeConfig | None:
    if strict is None:
        return None
    limits = {name: getattr(strict, name) for name in StrictMode.__slots__}
    return pb.StrictModeConfig(enabled=True, **limits)


_INDEX_PARAMS = {
    "keyword": pb.KeywordIndexParams,
    "integer": partial(pb.IntegerIndexParams, lookup=True, range=True),
    "float": pb.FloatIndexParams,
    "datetime": pb.DatetimeIndexParams,
    "bool": pb.BoolIndexParams,
    "uuid": pb.UuidIndexParams,
    "text": partial(
        pb.TextIndexParams,
        tokenizer=pb.TokenizerType.Word,
        lowercase=True,
        min_token_len=2,
        max_token_len=40,
    ),
}


def index_message(collection: str, index: PayloadIndex) -> pb.CreateFieldIndexCollection:
    params = _INDEX_PARAMS[index.type](enable_hnsw=index.filters_search)
    return pb.CreateFieldIndexCollection(
        collection_name=collection,
        wait=True,
        field_name=index.field,
        field_type=pb.FieldType.Value(f"FieldType{index.type.capitalize()}"),
        field_index_params=pb.PayloadIndexParams(**{f"{index.type}_index_params": params}),
    )
