"""WordLlama's static token vectors, read from the installed wheel: no network, no accelerator.

A text's vector is the mean of its tokens' vectors, as in WordLlama. The package itself is not imported: that
would configure the root logger, load an HTTP client, pad every batch to its longest text (a fifth of the
speed) and hold twice the memory. Shorter vectors are the first numbers of the long ones, which were trained
for that (Matryoshka).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from collections_admin.cpu import compute
from collections_admin.embeddings.base import ModelInfo
from collections_admin.errors import EmbeddingUnavailable, InvalidInput
from collections_admin.limits import MAX_CHUNK_CHARS, MAX_QUERY_CHARS

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

SUB_BATCH_TEXTS = 64
SUB_BATCH_CHARS = 64_000  # about 10 ms of work
SLICE_TOKENS = 4_096  # 4 MB of token vectors at a time
WEIGHTS = Path("weights/l2_supercat_256.safetensors")
TOKENIZER = Path("tokenizers/l2_supercat_tokenizer_config.json")


class TokenVectors:
    """Tokenizer and token vectors (32,000 of 256 numbers), loaded once per process at first use."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loaded: tuple[Tokenizer, np.ndarray] | None = None

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    def load(self) -> "tuple[Tokenizer, np.ndarray]":
        with self._lock:
            if self._loaded is None:
                self._loaded = _read_model(_package_folder())
        return self._loaded

    def means(self, texts: Sequence[str]) -> "np.ndarray":
        """The mean token vector of each text, float32, shape (texts, 256)."""
        import numpy as np  # heavy, and not every process embeds

        tokenizer, vectors = self.load()
        means = np.empty((len(texts), vectors.shape[1]), np.float32)
        for row, encoding in enumerate(tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)):
            means[row] = _mean(vectors, encoding.ids)
        return means


def _mean(vectors: "np.ndarray", ids: list[int]) -> "np.ndarray":
    # In slices: a long text of rare characters has four tokens for each, of 1 kB as vectors.
    slices = (vectors[ids[start : start + SLICE_TOKENS]] for start in range(0, len(ids), SLICE_TOKENS))
    return sum(part.sum(axis=0) for part in slices) / len(ids)


def _package_folder() -> Path:
    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddingUnavailable("The local embedding model is not installed (package wordllama).")
    return Path(spec.submodule_search_locations[0])


def _read_model(folder: Path) -> "tuple[Tokenizer, np.ndarray]":
    import numpy as np  # heavy, and not every process embeds
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    for file in (WEIGHTS, TOKENIZER):
        if not (folder / file).is_file():
            raise EmbeddingUnavailable(f"The local embedding model is incomplete: {file.name} is missing.")
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # Single precision takes 16 MB more than the half precision of the file and pools 1.7 times as fast.
    vectors = load_file(folder / WEIGHTS)["embedding.weight"].astype(np.float32)
    return tokenizer, vectors


_shared = TokenVectors()


class LocalModel:
    """A local model of a given dimension; all dimensions share one copy of the token vectors."""

    def __init__(self, dimension: int, *, token_vectors: TokenVectors = _shared) -> None:
        self.dimension = dimension
        self._token_vectors = token_vectors

    @cached_property
    def info(self) -> ModelInfo:
        return ModelInfo(
            name=f"wordllama-{self.dimension}",
            label=f"WordLlama, {self.dimension} dimensions (local; basic, English)",
            dimension=self.dimension,
            max_input_chars=MAX_CHUNK_CHARS,
            is_local=True,
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See `EmbeddingModel`. The field of an error is `texts[i]`."""
        for index, text in enumerate(texts):
            _check(text, f"texts[{index}]", MAX_CHUNK_CHARS)
        vectors: list[list[float]] = []
        for batch in _sub_batches(texts):
            vectors += await compute(self._vectors, batch)
        return vectors

    async def embed_query(self, text: str) -> list[float]:
        """See `EmbeddingModel`. Some tens of microseconds: not worth a wait behind the batches of an ingest."""
        _check(text, "query", MAX_QUERY_CHARS)
        if not self._token_vectors.is_loaded:
            await compute(self._token_vectors.load)
        return self._vectors([text])[0]

    def _vectors(self, texts: Sequence[str]) -> list[list[float]]:
        import numpy as np  # heavy, and not every process embeds

        vectors = self._token_vectors.means(texts)[:, : self.dimension]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise EmbeddingUnavailable("The local embedding model gave a vector without direction.")
        return (vectors / lengths).tolist()


def _check(text: str, field: str, max_chars: int) -> None:
    if not text.strip():
        raise InvalidInput(field, "There is no text to embed.")
    if len(text) > max_chars:
        raise InvalidInput(field, f"The text has {len(text):,} characters; at most {max_chars:,} can be embedded.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(field, "The text holds half of a surrogate pair and cannot be encoded.") from error


def _sub_batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    chars = 0
    for text in texts:
        if batch and (len(batch) == SUB_BATCH_TEXTS or chars + len(text) > SUB_BATCH_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(text)
        chars += len(text)
    if batch:
        yield batch
