"""How the tests of the node call it, and how they say that a call must be refused."""

import grpc
import pytest
from qdrant_client import AsyncQdrantClient, models


def connect(port: int, **options) -> AsyncQdrantClient:
    return AsyncQdrantClient(
        host="127.0.0.1",
        grpc_port=port,
        prefer_grpc=True,
        check_compatibility=False,
        timeout=20,
        grpc_options={"grpc.max_reconnect_backoff_ms": 1000, "grpc.initial_reconnect_backoff_ms": 100},
        **options,
    )


def dense(size: int = 4, distance: models.Distance = models.Distance.COSINE, **more) -> models.VectorParams:
    return models.VectorParams(size=size, distance=distance, **more)


class refused:  # noqa: N801 - reads as a statement
    """`with refused(StatusCode.NOT_FOUND, "doesn't exist")`: the call in the block must be answered so."""

    def __init__(self, code: str, *texts: str) -> None:
        self.code = getattr(grpc.StatusCode, code)
        self.texts = texts

    def __enter__(self) -> None:
        self._raises = pytest.raises(grpc.aio.AioRpcError)
        self._caught = self._raises.__enter__()

    def __exit__(self, *error) -> bool:
        handled = self._raises.__exit__(*error)
        if handled:
            answer = self._caught.value
            assert answer.code() is self.code, answer.details()
            for text in self.texts:
                assert text in answer.details()
        return bool(handled)


def ids(points) -> list:
    return [point.id for point in points]
