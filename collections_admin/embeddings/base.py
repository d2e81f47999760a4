"""What every embedding model offers, wherever it computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A model as the pages show it. `dimension` is the length of its vectors."""

    name: str
    label: str
    dimension: int
    max_input_chars: int
    is_local: bool


class EmbeddingModel(Protocol):
    """Vectors are lists of Python floats of length 1 (L2): the form that Qdrant's messages take fastest."""

    info: ModelInfo

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in order; the caller keeps batches small enough for its memory.

        Raises InvalidInput for a text that is blank, too long, or cannot be encoded; EmbeddingUnavailable
        when the model does not answer.
        """

    async def embed_query(self, text: str) -> list[float]:
        """The vector of a search text, ahead of waiting batches. Errors as of `embed`, field `query`."""
