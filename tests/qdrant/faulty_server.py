"""A gRPC server with Qdrant's services that misbehaves on request, alone or in front of a real node.

Each method has a behaviour: a function of (request, context) that answers a message, raw bytes, or raises through
`context.abort`. Methods without one are passed on to the node behind, if there is one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from qdrant_client import grpc as pb
from qdrant_client.grpc import collections_service_pb2, points_service_pb2, qdrant_pb2

Behaviour = Callable[[Any, grpc.aio.ServicerContext], Any | Awaitable[Any]]
_SERVICES = {
    service.full_name: service
    for module in (collections_service_pb2, points_service_pb2, qdrant_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}


class FaultyServer(grpc.GenericRpcHandler):
    """`calls` lists method names in order; `requests[method]` holds what was asked."""

    def __init__(self, upstream: str | None = None) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.calls: list[str] = []
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.codes: dict[str, list[grpc.StatusCode]] = defaultdict(list)
        self.metadata: list[dict[str, str]] = []
        self.port = 0
        self._upstream = grpc.aio.insecure_channel(upstream) if upstream else None
        self._server: grpc.aio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = grpc.aio.server(handlers=[self], options=[("grpc.so_reuseport", 0)])
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def close(self) -> None:
        await self.stop()
        if self._upstream is not None:
            await self._upstream.close()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await self._answer(details.method, raw, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer(self, path: str, raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
        _, service, method = path.split("/")
        request = _SERVICES[service].methods_by_name[method].input_type._concrete_class.FromString(raw)
        self.calls.append(method)
        self.requests[method].append(request)
        self.metadata.append({key: value for key, value in context.invocation_metadata() if isinstance(value, str)})
        behaviour = self.behaviours.get(method)
        if behaviour is None:
            return await self._pass_on(path, method, raw, context)
        answer = behaviour(request, context)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer is PASS_ON:
            return await self._pass_on(path, method, raw, context)
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    async def _pass_on(self, path: str, method: str, raw: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if self._upstream is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not part of this test")
        try:
            answer = await self._upstream.unary_unary(path)(raw)
        except grpc.aio.AioRpcError as error:
            self.codes[method].append(error.code())
            await context.abort(error.code(), error.details())
        self.codes[method].append(grpc.StatusCode.OK)
        return answer


PASS_ON = object()


def fails(code: grpc.StatusCode, text: str = "", **trailers: str) -> Behaviour:
    async def behave(_: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(code, text, tuple((key.replace("_", "-"), value) for key, value in trailers.items()))

    return behave


def fails_first(times: int, code: grpc.StatusCode, then: Any = PASS_ON, **trailers: str) -> Behaviour:
    """Fail so many times, then give `then`."""
    left = [times]
    failing = fails(code, "for now", **trailers)

    async def behave(request: Any, context: grpc.aio.ServicerContext) -> Any:
        if left[0] > 0:
            left[0] -= 1
            await failing(request, context)
        return then

    return behave


async def hangs(_: Any, __: grpc.aio.ServicerContext) -> None:
    await asyncio.sleep(3600)


def answers(message: Any) -> Behaviour:
    return lambda _request, _context: message


def write_status(status: int) -> pb.PointsOperationResponse:
    return pb.PointsOperationResponse(result=pb.UpdateResult(operation_id=1, status=status), time=0.001)


def nested(levels: int) -> bytes:
    """The bytes of a `Value` with a struct in a struct …: deeper than a client can decode, or encode."""
    value = pb.Value(string_value="deep").SerializeToString()
    for _ in range(levels):
        entry = _field(1, b"a") + _field(2, value)  # an entry of the map Struct.fields
        value = _field(6, _field(1, entry))  # Value.struct_value
    return value


def point_with(point_id: str, value: bytes) -> bytes:
    """The bytes of a RetrievedPoint or ScoredPoint (same numbers) with the payload {"deep": value}."""
    return _field(1, pb.PointId(uuid=point_id).SerializeToString()) + _field(2, _field(1, b"deep") + _field(2, value))


def _field(number: int, content: bytes) -> bytes:
    length, head = len(content), bytearray([number << 3 | 2])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def repeated(number: int, contents: list[bytes]) -> bytes:
    return b"".join(_field(number, content) for content in contents)
