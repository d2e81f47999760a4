"""What the web server needs around sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class ClosedAtOnce:
    """Granian sends the close of a socket only after the next frame of the browser while somebody waits for that frame,
    which for a page that sends none is never: stop waiting first.
    """

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        socket = _Socket(receive, send)
        await self.application(scope, socket.receive, socket.send)


class _Socket:
    def __init__(self, receive: Any, send: Any) -> None:
        self._receive, self._send = receive, send
        self._waiting: asyncio.Future | None = None
        self._closing: asyncio.Event | None = None  # set once the close is sent

    async def receive(self) -> dict:
        if self._closing is None:
            self._waiting = asyncio.ensure_future(self._receive())
            try:
                return await self._waiting
            except asyncio.CancelledError:
                if self._closing is None:
                    raise
        await self._closing.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(self, message: dict) -> None:
        if message["type"] != "websocket.close" or self._closing is not None:
            await self._send(message)
            return
        self._closing = asyncio.Event()
        try:
            await self._stop_waiting()
            await self._send(message)
        finally:
            self._closing.set()

    async def _stop_waiting(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
