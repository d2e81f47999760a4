"""Payloads, point ids and vectors, protobuf to engine and back: the hot path of every call."""

from math import isfinite
from typing import Any
from uuid import UUID

from qdrant_client import grpc as pb
from qdrant_edge import Record, ScoredPoint, SparseVector

from collections_admin.edge_node.errors import invalid, unavailable

# The engine reads a WAL entry back only up to 128 levels, and a shard whose WAL holds a deeper one cannot be
# opened again. Nested payload and a nested `key` add up, so each gets less than half of it.
MAX_PAYLOAD_DEPTH = 60
MAX_KEY_PARTS = 32
MAX_INTEGER = 2**63
PLAIN_KINDS = frozenset({"string_value", "integer_value", "bool_value"})
PUBLIC_ID = "Unable to parse UUID: `{}` is neither an unsigned integer nor a UUID"


def value_to_python(value: pb.Value, depth: int = 0) -> Any:
    kind = value.WhichOneof("kind")
    if kind in PLAIN_KINDS:
        return getattr(value, kind)
    if kind == "double_value":
        return _finite(value.double_value)
    if kind == "struct_value":
        _check_depth(depth)
        return {k: value_to_python(v, depth + 1) for k, v in value.struct_value.fields.items()}
    if kind == "list_value":
        _check_depth(depth)
        return [value_to_python(v, depth + 1) for v in value.list_value.values]
    return None


def _finite(number: float) -> float:
    if not isfinite(number):
        raise invalid("a payload number is NaN or infinite")
    return number


def _check_depth(depth: int) -> None:
    if depth >= MAX_PAYLOAD_DEPTH:
        raise invalid(f"payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels")


def payload_to_python(fields: Any) -> dict[str, Any]:
    return {key: value_to_python(value) for key, value in fields.items()}


def write_value(target: pb.Value, value: Any) -> None:
    kind = type(value)
    if kind is str:
        target.string_value = value
    elif kind is bool:
        target.bool_value = value
    elif kind is int:
        _write_integer(target, value)
    elif kind is float:
        target.double_value = value
    elif value is None:
        target.null_value = 0
    elif kind is dict:
        target.struct_value.SetInParent()
        write_payload(target.struct_value.fields, value)
    else:
        target.list_value.SetInParent()
        add = target.list_value.values.add
        for item in value:
            write_value(add(), item)


def _write_integer(target: pb.Value, value: int) -> None:
    if -MAX_INTEGER <= value < MAX_INTEGER:
        target.integer_value = value
    else:
        target.double_value = float(value)


def write_payload(target: Any, payload: dict[str, Any] | None) -> None:
    if payload:
        for key, value in payload.items():
            kind = type(value)
            if kind is str:  # most of what comes by takes no further call
                target[key].string_value = value
            elif kind is int and -MAX_INTEGER <= value < MAX_INTEGER:
                target[key].integer_value = value
            else:
                write_value(target[key], value)


def payload_key(key: str) -> str:
    """A payload path to write to, refused when it would nest too deep."""
    if key.count(".") + key.count("[") >= MAX_KEY_PARTS:
        raise invalid(f"payload key has more than {MAX_KEY_PARTS} parts")
    return key


def point_id(message: pb.PointId) -> int | UUID:
    kind = message.WhichOneof("point_id_options")
    if kind == "num":
        return message.num
    try:
        return UUID(message.uuid)
    except ValueError:
        raise invalid(PUBLIC_ID.format(message.uuid[:100])) from None


def point_ids(messages: Any) -> list[int | UUID]:
    return [point_id(message) for message in messages]


def write_id(target: pb.PointId, identifier: int | UUID) -> None:
    if type(identifier) is int:
        target.num = identifier
    else:
        target.uuid = str(identifier)


def dense(data: Any) -> list[float]:
    """The numbers as a list, the form that the engine takes fastest."""
    numbers = data[:]
    if not isfinite(sum(numbers)):
        raise invalid("vector contains NaN or infinite values")
    return numbers


def sparse(indices: Any, values: Any) -> SparseVector:
    indices, values = indices[:], dense(values)
    if len(indices) != len(values):
        raise invalid(f"sparse vector has {len(indices)} indices but {len(values)} values")
    if len(set(indices)) != len(indices):
        raise invalid("indices of a sparse vector must be unique")
    return SparseVector(indices, values)


def multi_dense(message: pb.MultiDenseVector) -> list[list[float]]:
    rows = [dense(row.data) for row in message.vectors]
    return _rectangular(rows)


def _rectangular(rows: list[list[float]]) -> list[list[float]]:
    if not rows:
        raise invalid("multi-vector must not be empty")
    if len({len(row) for row in rows}) != 1:
        raise invalid("all rows of a multi-vector must have the same length")
    return rows


def _flat_vector(message: pb.Vector) -> Any:
    """The form of clients before 1.13: one list of numbers, with the rest told beside it."""
    if message.HasField("indices"):
        return sparse(message.indices.data, message.data)
    numbers = dense(message.data)
    count = message.vectors_count
    if not count:
        return numbers
    if len(numbers) % count:
        raise invalid(f"vectors_count {count} does not divide the {len(numbers)} values given")
    width = len(numbers) // count
    return _rectangular([numbers[i * width : (i + 1) * width] for i in range(count)])


def _vector_of_kind(message: Any, kind: str) -> Any:
    if kind == "dense":
        return dense(message.dense.data)
    if kind == "sparse":
        return sparse(message.sparse.indices, message.sparse.values)
    if kind == "multi_dense":
        return multi_dense(message.multi_dense)
    raise unavailable(f"Inference on the server ({kind}) is")


def stored_vector(message: pb.Vector) -> Any:
    kind = message.WhichOneof("vector")
    return _flat_vector(message) if kind is None else _vector_of_kind(message, kind)


def query_vector(message: pb.VectorInput) -> Any:
    """The vector of a query that is not given by a point's id."""
    kind = message.WhichOneof("variant")
    if kind is None:
        raise invalid("vector of the query is missing")
    return _vector_of_kind(message, kind)


def stored_vectors(message: pb.Vectors) -> Any:
    """What a point is stored with: one vector, a dict of named ones, or `{}` for none."""
    kind = message.WhichOneof("vectors_options")
    if kind == "vector":
        vector = stored_vector(message.vector)
        return {} if vector == [] else vector
    if kind == "vectors":
        return {name: stored_vector(vector) for name, vector in message.vectors.vectors.items()}
    return {}


def _write_vector(target: pb.VectorOutput, vector: Any) -> None:
    if isinstance(vector, SparseVector):
        target.sparse.indices.extend(vector.indices)
        target.sparse.values.extend(vector.values)
    elif vector and isinstance(vector[0], list):
        for row in vector:
            target.multi_dense.vectors.add().data.extend(row)
    else:
        target.dense.data.extend(vector)


def write_vectors(target: pb.VectorsOutput, vector: Any) -> None:
    if isinstance(vector, dict):
        target.vectors.SetInParent()
        for name, part in vector.items():
            _write_vector(target.vectors.vectors[name], part)
    else:
        _write_vector(target.vector, vector)


def write_record(target: Any, record: Record, *, vectors: bool = True) -> None:
    write_id(target.id, record.id)
    write_payload(target.payload, record.payload)
    if vectors and (vector := record.vector) is not None:
        write_vectors(target.vectors, vector)
    order = record.order_value
    if order is None:
        return
    if type(order) is int:
        target.order_value.int = order
    else:
        target.order_value.float = order


def write_scored(target: pb.ScoredPoint, point: ScoredPoint, *, vectors: bool) -> None:
    """`vectors` off strips them: MMR hands them out unasked."""
    write_record(target, point, vectors=vectors)
    target.score = point.score
    target.version = point.version
