import asyncio
from typing import Any

from dashboard.sockets import ClosedAtOnce


class Server:
    """Ends of a socket that, like granian's, cannot be closed while the application waits for a frame."""

    def __init__(self) -> None:
        self.sent: list[dict] = []
        self.frames: asyncio.Queue[dict] = asyncio.Queue()
        self.lock = asyncio.Lock()

    async def receive(self) -> dict:
        async with self.lock:
            return await self.frames.get()

    async def send(self, message: dict) -> None:
        if message["type"] == "websocket.close":
            await self.lock.acquire()
        self.sent.append(message)


CLOSE = {"type": "websocket.close", "code": 4401}


async def run(server: Server, application: Any) -> None:
    async with asyncio.timeout(5):
        await ClosedAtOnce(application)({"type": "websocket"}, server.receive, server.send)


async def test_a_socket_is_closed_while_the_application_waits_for_a_frame() -> None:
    heard: list[dict] = []

    async def application(_scope: dict, receive: Any, send: Any) -> None:
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0.01)
        await send(CLOSE)
        heard.append(await waiting)

    server = Server()
    await run(server, application)
    assert server.sent == [CLOSE]
    assert [message["type"] for message in heard] == ["websocket.disconnect"]


async def test_frames_pass_and_a_close_between_them_too() -> None:
    heard: list[dict] = []

    async def application(_scope: dict, receive: Any, send: Any) -> None:
        heard.append(await receive())
        await send({"type": "websocket.send", "text": "hi"})
        await send(CLOSE)

    server = Server()
    await server.frames.put({"type": "websocket.receive", "text": "x"})
    await run(server, application)
    assert heard == [{"type": "websocket.receive", "text": "x"}]
    assert [message["type"] for message in server.sent] == ["websocket.send", "websocket.close"]


async def test_an_application_that_is_cancelled_stays_cancelled() -> None:
    async def application(_scope: dict, receive: Any, _send: Any) -> None:
        await receive()

    server = Server()
    task = asyncio.create_task(run(server, application))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not server.lock.locked(), "nobody waits any more"
