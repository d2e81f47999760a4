"""A browser's end of a socket (the one of `channels.testing` can only be imported with daphne)."""

import asyncio
import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

WAIT = 10  # seconds for one message


class Socket(ApplicationCommunicator):
    def __init__(self, application: Any, path: str, *, cookies: str) -> None:
        headers = [(b"cookie", cookies.encode()), (b"origin", b"http://testserver")]
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        super().__init__(application, scope)

    async def connect(self) -> None:
        await self.send_input({"type": "websocket.connect"})
        assert (await self.receive_output(WAIT))["type"] == "websocket.accept"

    async def say(self, frame: str | bytes) -> None:
        await self.send_input({"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame})

    async def hears(self, kind: str) -> dict[str, Any]:
        """The next message of that type."""
        while True:
            message = await self.receive_output(WAIT)
            assert message["type"] == "websocket.send", message
            content = json.loads(message["text"])
            if content["type"] == kind:
                return content

    async def close_code(self) -> int:
        while True:
            message = await self.receive_output(WAIT)
            if message["type"] == "websocket.close":
                return message["code"]

    async def disconnect(self) -> None:
        if not self.future.done():
            await self.send_input({"type": "websocket.disconnect", "code": 1001})
            await asyncio.wait([self.future], timeout=WAIT)
