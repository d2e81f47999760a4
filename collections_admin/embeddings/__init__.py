"""Texts to vectors. The rest of the console sees these names only."""

from collections_admin.embeddings.base import EmbeddingModel, ModelInfo
from collections_admin.embeddings.registry import DEFAULT_MODEL, available_models, get_model

__all__ = ["DEFAULT_MODEL", "EmbeddingModel", "ModelInfo", "available_models", "get_model"]
