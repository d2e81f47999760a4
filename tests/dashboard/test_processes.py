import asyncio
import os
import signal
import sys

import pytest

from dashboard.processes import Part, RunningPart, StartFailed, stop_all

PATIENCE_S = 20


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")

    async def until(self, text: str) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = next((line for line in self.lines if text in line), None)
                if found:
                    return found
                await asyncio.sleep(0.02)


async def at_once() -> None:
    await asyncio.sleep(0)


def part(code: str, *, name: str = "part", stop_seconds: float = 5, ready=at_once) -> Part:
    return Part(name=name, command=[sys.executable, "-c", code], stop_seconds=stop_seconds, ready=ready)


async def never() -> None:
    await asyncio.Event().wait()


async def test_output_is_handed_on_with_the_name() -> None:
    told = Told()
    running = RunningPart(part("print('hello'); import time; time.sleep(60)", name="web"), told)
    await running.start()
    assert await told.until("hello") == "web: hello"
    await running.stop()


async def test_a_part_that_dies_is_started_again_and_said_so() -> None:
    told = Told()
    running = RunningPart(part("import os, time; print('pid', os.getpid()); time.sleep(60)"), told)
    await running.start()
    first = running.process.pid
    await told.until(f"pid {first}")
    os.kill(first, signal.SIGKILL)
    assert "starting it again in" in await told.until("ended by SIGKILL")
    while running.process.pid == first:
        await asyncio.sleep(0.05)
    await told.until(f"pid {running.process.pid}")
    await running.stop()
    assert running.process.returncode is not None


async def test_a_start_that_fails_says_the_last_words() -> None:
    running = RunningPart(part("print('port 1 is in use'); raise SystemExit(2)", ready=never), Told())
    with pytest.raises(StartFailed, match="ended at its start: port 1 is in use"):
        await running.start(seconds=PATIENCE_S)


async def test_a_part_that_is_never_ready_fails_the_start() -> None:
    running = RunningPart(part("import time; time.sleep(60)", ready=never), Told())
    with pytest.raises(StartFailed, match="was not ready within"):
        await running.start(seconds=0.3)
    await running.stop()


async def test_a_part_that_ignores_the_signal_is_killed_with_its_children() -> None:
    told = Told()
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print('child', child, flush=True)\n"
        "time.sleep(60)\n"
    )
    running = RunningPart(part(code, stop_seconds=0.3), told)
    await running.start()
    child = int((await told.until("child")).rsplit(" ", 1)[1])
    await running.stop()
    assert "killed" in await told.until("did not stop")
    async with asyncio.timeout(PATIENCE_S):
        while _runs(child):
            await asyncio.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_first_part_stops_last() -> None:
    told = Told()
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()))\nprint('up', flush=True)\ntime.sleep(60)"
    parts = [RunningPart(part(code, name=name), told) for name in ("node", "worker", "web")]
    for running in parts:
        await running.start()
    for name in ("node", "worker", "web"):
        await told.until(f"{name}: up")
    await stop_all(parts)
    goodbyes = [line for line in told.lines if line.endswith("bye")]
    assert goodbyes[-1] == "node: bye"
    assert len(goodbyes) == 3
