"""`manage.py up` as a person meets it: a process, its words, and what it leaves behind."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.consoles import ROOT, Console, environment, free_port

START_S = 90


@pytest.fixture
def consoles() -> Iterator[list[Console]]:
    running: list[Console] = []
    yield running
    for console in running:
        if console.process.poll() is None:
            console.process.kill()
        console.process.communicate()


def test_it_starts_serves_restarts_and_stops(tmp_path: Path, consoles: list[Console]) -> None:
    console = Console(environment(tmp_path))
    consoles.append(console)
    console.until("is ready")
    console.until("Ctrl-C stops everything")
    banner = "\n".join(console.lines)
    assert console.address in banner
    assert str(tmp_path) in banner
    assert "SQLite" in banner
    assert "embedded node at 127.0.0.1:" in banner
    assert re.search(r"admin@console.local with the password \S{12,}", banner)
    with urllib.request.urlopen(f"{console.address}health/") as answer:
        assert answer.status == 200
    children = psutil.Process(console.process.pid).children()
    assert len(children) == 3
    worker = next(child for child in children if "worker" in child.cmdline())
    worker.kill()
    assert "starting it again" in console.until("ended by SIGKILL")
    everything = psutil.Process(console.process.pid).children(recursive=True)
    assert console.stop(signal.SIGINT) == 0
    assert "stopped after" in console.lines[-1]
    assert not [child for child in everything if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_second_start_shows_no_password_and_a_second_console_is_refused(
    tmp_path: Path, consoles: list[Console]
) -> None:
    env = environment(tmp_path)
    first = Console(env)
    consoles.append(first)
    first.until("is ready")
    refused = run_up(env | {"LISTEN_PORT": str(free_port())})
    assert refused.returncode != 0
    assert one_line(refused) == f"CommandError: Another console is already running on the data folder {tmp_path}."
    first.stop()
    second = Console(env)
    consoles.append(second)
    second.until("is ready")
    second.until("Ctrl-C stops everything")
    assert "password" not in "\n".join(second.lines)
    assert second.stop() == 0


def test_a_demo_that_cannot_be_loaded_is_said_and_the_console_goes_on(tmp_path: Path, consoles: list[Console]) -> None:
    console = Console(environment(tmp_path) | {"QDRANT_URL": "http://127.0.0.1:1", "QDRANT_GRPC_PORT": "1"}, "--demo")
    consoles.append(console)
    assert "Qdrant does not answer at 127.0.0.1:1" in console.until("the demo could not be loaded")
    with urllib.request.urlopen(f"{console.address}accounts/login/") as answer:
        assert answer.status == 200
    assert console.stop() == 0


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LISTEN_PORT", "eighty", "LISTEN_PORT must be a whole number"),
        ("DATA_DIR", "/dev/null/data", "DATA_DIR: the folder /dev/null/data cannot be written"),
        ("QDRANT_URL", "localhost", "QDRANT_URL must look like"),
        ("DATABASE_URL", "mysql://x/y", "DATABASE_URL must start with"),
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/none", "The database cannot be used"),
    ],
)
def test_a_wrong_setting_ends_with_one_clear_line(tmp_path: Path, variable: str, value: str, said: str) -> None:
    refused = run_up(environment(tmp_path, DB_POOL_TIMEOUT="1") | {variable: value})
    assert refused.returncode != 0
    assert said in one_line(refused)


@pytest.mark.parametrize("variable", ["LISTEN_PORT", "EMBEDDED_NODE_PORT"])
def test_a_port_in_use_ends_with_one_clear_line(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = run_up(environment(tmp_path) | {variable: str(taken.getsockname()[1])})
    assert refused.returncode != 0
    assert f"Set {variable} to another port" in one_line(refused)


def run_up(env: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def one_line(refused: subprocess.CompletedProcess) -> str:
    lines = [line for line in refused.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, refused.stderr
    return lines[0]
