"""What vectors a collection takes, by name: checked here, because the engine logs a write before it fails on it."""

from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.config import dense_vectors
from collections_admin.edge_node.errors import invalid


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorShape:
    """`size` is the dimension, None for a sparse vector; `multi` means a list of rows of that dimension."""

    name: str
    size: int | None
    multi: bool = False

    def fitted(self, vector: Any) -> Any:
        """The vector as the engine takes it: one row for a multi-vector is put into a list. Raises INVALID_ARGUMENT."""
        is_sparse = isinstance(vector, edge.SparseVector)
        if is_sparse != (self.size is None):
            kind = "sparse" if is_sparse else "dense"
            raise invalid(f"Not existing vector name error: there is no {kind} vector `{self.name}`")
        if is_sparse:
            return vector
        is_multi = bool(vector) and isinstance(vector[0], list)
        if is_multi and not self.multi:
            raise invalid(f"vector `{self.name}` must be a single vector, got a multi-vector")
        width = len(vector[0]) if is_multi else len(vector)
        if width != self.size:
            raise invalid(f"Vector dimension error: expected dim: {self.size}, got {width}")
        return [vector] if self.multi and not is_multi else vector


def vector_shapes(create: pb.CreateCollection) -> dict[str, VectorShape]:
    """Shapes by vector name; the unnamed vector has the name `""`."""
    shapes = {
        name: VectorShape(name=name, size=params.size, multi=params.HasField("multivector_config"))
        for name, params in dense_vectors(create).items()
    }
    for name in create.sparse_vectors_config.map:
        shapes[name] = VectorShape(name=name, size=None)
    return shapes
