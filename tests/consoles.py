"""A whole console as a person starts it: `manage.py up` in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DJANGO_SETTINGS_MODULE"}}
    ports = {"LISTEN_PORT": str(free_port()), "EMBEDDED_NODE_PORT": str(free_port())}
    return kept | {"DATA_DIR": str(folder), "COLUMNS": "200"} | ports | more


class Console:
    """A running `manage.py up`, its lines so far, and ways to wait for more."""

    def __init__(self, env: dict[str, str], *options: str) -> None:
        self.env = env
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", *options],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def until(self, text: str) -> str:
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return line
        raise AssertionError(f"ended without saying {text!r}:\n" + "\n".join(self.lines))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.lines += self.process.communicate(timeout=60)[0].splitlines()
        return self.process.returncode

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.env['LISTEN_PORT']}/"
