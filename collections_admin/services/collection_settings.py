"""How a collection is to be set up, from a form to the registry and to Qdrant."""

from dataclasses import asdict, dataclass, fields

from collections_admin import qdrant
from collections_admin.embeddings import DEFAULT_MODEL, get_model
from collections_admin.errors import InvalidInput
from collections_admin.limits import CHUNK_OVERLAP, CHUNK_SIZE, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE
from collections_admin.models import Distance, Quantization, TenantCollection

MIN_HNSW_M, MAX_HNSW_M = 4, 128  # links of a point
MIN_EF_CONSTRUCT, MAX_EF_CONSTRUCT = 8, 2_000
# Filters over a record's own metadata have no index: refusing them would leave the chunk browser half blind.
STRICT_MODE = qdrant.StrictMode(
    max_query_limit=2_000, unindexed_filtering_retrieve=True, unindexed_filtering_update=False
)
_DISTANCES: dict[str, qdrant.Distance] = {
    Distance.COSINE: "Cosine",
    Distance.DOT: "Dot",
    Distance.EUCLID: "Euclid",
    Distance.MANHATTAN: "Manhattan",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveSettings:
    """What can change under a filled collection. Sizes of chunks in tokens; they hold from the next ingest on.

    Raises InvalidInput naming the field.
    """

    hnsw_m: int = 16
    hnsw_ef_construct: int = 100
    quantization: str = Quantization.NONE
    on_disk: bool = False
    strict_mode: bool = True
    chunk_size: int = CHUNK_SIZE
    chunk_overlap: int = CHUNK_OVERLAP

    def __post_init__(self) -> None:
        _between("hnsw_m", self.hnsw_m, MIN_HNSW_M, MAX_HNSW_M)
        _between("hnsw_ef_construct", self.hnsw_ef_construct, MIN_EF_CONSTRUCT, MAX_EF_CONSTRUCT)
        _between("chunk_size", self.chunk_size, MIN_CHUNK_SIZE, MAX_CHUNK_SIZE)
        if self.quantization not in Quantization.values:
            raise InvalidInput("quantization", f"Choose one of {', '.join(Quantization.values)}.")
        if not 0 <= self.chunk_overlap <= self.chunk_size // 2:
            most = self.chunk_size // 2
            raise InvalidInput("chunk_overlap", f"The overlap must be 0 to {most:,}: half of the chunk size.")


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionSettings(LiveSettings):
    """The vector size is that of the model: it cannot be chosen apart."""

    embedding_model: str = DEFAULT_MODEL
    distance: str = Distance.COSINE

    def __post_init__(self) -> None:
        LiveSettings.__post_init__(self)
        get_model(self.embedding_model)
        if self.distance not in _DISTANCES:
            raise InvalidInput("distance", f"Choose one of {', '.join(_DISTANCES)}.")

    @property
    def vector_size(self) -> int:
        return get_model(self.embedding_model).info.dimension


def live_settings_of(row: TenantCollection) -> LiveSettings:
    return LiveSettings(**{field.name: getattr(row, field.name) for field in fields(LiveSettings)})


def as_facts(settings: LiveSettings) -> dict[str, object]:
    """For the audit trail."""
    return {name: str(value) if isinstance(value, str) else value for name, value in asdict(settings).items()}


def spec_of(row: TenantCollection) -> qdrant.CollectionSpec:
    return qdrant.CollectionSpec(
        vector_size=row.vector_size,
        distance=_DISTANCES[row.distance],
        hnsw_m=row.hnsw_m,
        hnsw_ef_construct=row.hnsw_ef_construct,
        quantization=row.quantization,
        on_disk_vectors=row.on_disk,
        strict_mode=STRICT_MODE if row.strict_mode else None,
    )


def _between(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidInput(field, f"It must be a whole number from {least:,} to {most:,}.")
