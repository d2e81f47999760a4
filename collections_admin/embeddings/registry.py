"""Which embedding models there are. A name, once stored with a collection, keeps its meaning."""

from collections_admin.embeddings.base import EmbeddingModel, ModelInfo
from collections_admin.embeddings.local import LocalModel
from collections_admin.errors import InvalidInput

DEFAULT_MODEL = "wordllama-256"

_models: dict[str, EmbeddingModel] = {model.info.name: model for model in (LocalModel(256), LocalModel(128))}


def get_model(name: str) -> EmbeddingModel:
    try:
        return _models[name]
    except KeyError as error:
        known = ", ".join(_models)
        raise InvalidInput("embedding_model", f"There is no embedding model {name[:80]!r}. Known: {known}.") from error


def available_models() -> list[ModelInfo]:
    return [model.info for model in _models.values()]
