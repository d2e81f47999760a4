"""Errors of the node, each with the gRPC status that Qdrant uses for it.

NodeError
├── invalid()        INVALID_ARGUMENT   the request is wrong
├── not_found()      NOT_FOUND          collection, alias or point
├── exists()         ALREADY_EXISTS     collection
└── unavailable()    UNIMPLEMENTED      what an embedded node does not offer
"""

from grpc import StatusCode


class NodeError(Exception):
    """An answer with a status other than OK."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(text: str) -> NodeError:
    return NodeError(StatusCode.INVALID_ARGUMENT, f"Wrong input: {text}")


def not_found(text: str) -> NodeError:
    return NodeError(StatusCode.NOT_FOUND, f"Not found: {text}")


def exists(text: str) -> NodeError:
    return NodeError(StatusCode.ALREADY_EXISTS, f"Wrong input: {text}")


def unavailable(what: str) -> NodeError:
    return NodeError(StatusCode.UNIMPLEMENTED, f"{what} not available in the embedded node.")


# The engine raises plain exceptions; the start of the text is all there is to tell them apart.
ENGINE_TEXTS = (
    ("No point with id", StatusCode.NOT_FOUND, "Not found: {} found"),
    (
        "Operation cancelled",
        StatusCode.INVALID_ARGUMENT,
        "Wrong input: the query yields a score that is not a finite number",
    ),
    ("Service runtime error", StatusCode.INTERNAL, "{}"),
)


def from_engine(error: BaseException) -> NodeError:
    """The node's error for any exception that came out of the engine or of a conversion."""
    if isinstance(error, NodeError):
        return error
    text = str(error)
    for start, code, template in ENGINE_TEXTS:
        if text.startswith(start):
            return NodeError(code, template.format(text))
    if not isinstance(error, Exception):  # a Rust panic arrives as a BaseException
        return NodeError(StatusCode.INTERNAL, f"Service internal error: the engine panicked: {text}")
    if isinstance(error, OSError | AttributeError | KeyError | MemoryError | RecursionError):
        return NodeError(StatusCode.INTERNAL, f"Service internal error: {type(error).__name__}: {text}")
    return invalid(text)
