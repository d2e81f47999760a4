"""Runs the parts of the console as child processes: prefixes their logs, restarts what dies, stops all together."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 60.0
LINE_LIMIT_BYTES = 256 * 1024
PR_SET_PDEATHSIG = 1

Say = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """`ready` returns once the part can be used; it may raise, which stops the start."""

    name: str
    command: list[str]
    stop_seconds: float
    ready: Callable[[], Awaitable[None]]
    environment: dict[str, str] = field(default_factory=dict)


class StartFailed(Exception):
    pass


class RunningPart:
    """One part with whatever process serves it at the moment."""

    def __init__(self, part: Part, say: Say) -> None:
        self.part = part
        self.say = say
        self.process: asyncio.subprocess.Process | None = None
        self.last_line = ""
        self._keeper: asyncio.Task | None = None
        self.is_stopping = False

    async def start(self, *, seconds: float = 60.0) -> None:
        """Raises `StartFailed` with the part's last words when it ends, or is not ready in time."""
        await self._spawn()
        ready = asyncio.ensure_future(self.part.ready())
        ended = asyncio.ensure_future(self.process.wait())
        await asyncio.wait({ready, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() or ready.exception():
            reason = "ended at its start" if ended.done() else f"was not ready within {seconds:.0f} s"
            for task in (ready, ended):
                task.cancel()
            await asyncio.sleep(0.1)  # lets the reader take the last line
            raise StartFailed(f"{self.part.name} {reason}: {self.last_line or 'it said nothing'}")
        ended.cancel()
        self._keeper = asyncio.create_task(self._keep_alive())

    async def stop(self) -> None:
        self.is_stopping = True
        if self._keeper:
            self._keeper.cancel()
        process = self.process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self.part.stop_seconds)
        if process.returncode is None:
            self.say(self.part.name, f"did not stop within {self.part.stop_seconds:g} s; killed")
        self.kill()
        await process.wait()

    def kill(self) -> None:
        """The whole group: a web server's own children would keep the port."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def _spawn(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.part.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | self.part.environment | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # a terminal's Ctrl-C reaches us alone, and we stop the parts in order
            limit=LINE_LIMIT_BYTES,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        self._reader = asyncio.create_task(self._read_lines(self.process))

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                continue  # a line beyond the limit was dropped
            if not line:
                return
            self.last_line = line.decode(errors="replace").rstrip()
            if self.last_line:
                self.say(self.part.name, self.last_line)

    async def _keep_alive(self) -> None:
        pause = FIRST_PAUSE_S
        while not self.is_stopping:
            started = time.monotonic()
            code = await self.process.wait()
            if self.is_stopping:
                return
            self.kill()
            pause = FIRST_PAUSE_S if time.monotonic() - started > STEADY_AFTER_S else min(pause * 2, LONGEST_PAUSE_S)
            self.say(self.part.name, f"ended {_how(code)}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            try:
                await self._spawn()
            except OSError as error:
                self.say(self.part.name, f"cannot be started: {error}")


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    with suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"


def _end_with_parent() -> None:
    """A part must not outlive a console that was killed without a chance to stop it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def stop_all(running: list[RunningPart]) -> None:
    """All but the first at once; the first, which the others use, last."""
    for part in running:
        part.is_stopping = True
    first, *others = running or [None]
    await asyncio.gather(*(part.stop() for part in others))
    if first is not None:
        await first.stop()
