"""Starts, watches and stops an embedded node in a process of its own. Synchronous: call it off an event loop."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Self

REPOSITORY = Path(__file__).resolve().parents[2]
LOG_NAME = "node.log"
LOG_LIMIT = 5 * 2**20
READY = "ready "


class EdgeNodeError(Exception):
    """The node did not start; the text ends with what it said last."""


class EdgeNode:
    """A node over `data_dir`. `port` 0 takes a free one at the first start and keeps it, so clients find it again.

    The node writes its log to `node.log` in the data folder, or to `log` if that is given (a file with a descriptor).
    With `die_with_parent` it ends by itself when the process that called `start` is gone.
    """

    def __init__(
        self,
        data_dir: str | Path,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        log: IO[bytes] | None = None,
        die_with_parent: bool = True,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.data_dir = Path(data_dir)
        self.port = port
        self.host = host
        self._log = log
        self._die_with_parent = die_with_parent
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the last start, None before the first."""
        return self._process.pid if self._process else None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit code of the last process, None while it runs and before the first start."""
        return self._process.poll() if self._process else None

    @property
    def log_path(self) -> Path:
        return self.data_dir / LOG_NAME

    def start(self, timeout: float = 30.0) -> Self:
        """Start the node and wait until it serves. Raises EdgeNodeError; does nothing when it already runs."""
        if self.is_alive:
            return self
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._spawn()
        except OSError as error:
            raise EdgeNodeError(f"embedded node cannot use {self.data_dir}: {error.strerror}") from error
        try:
            self._await_ready(timeout)
        except BaseException:
            self.kill()
            raise
        return self

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "collections_admin.edge_node", "--data", str(self.data_dir.absolute())]
        command += ["--host", self.host, "--port", str(self.port), *self._arguments]
        if self._die_with_parent:
            command += ["--parent-pid", str(os.getpid())]
        return command

    def _spawn(self) -> None:
        if self._log is not None:
            self._popen(self._log)
            return
        grown = self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT
        with self.log_path.open("wb" if grown else "ab") as log:
            self._log_start = log.tell()
            self._popen(log)

    def _popen(self, log: IO[bytes]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            self._command(), cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        )

    def _await_ready(self, timeout: float) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101 - as above
        deadline = time.monotonic() + timeout
        with process.stdout as stdout:
            while (left := deadline - time.monotonic()) > 0:
                if not select.select([stdout], [], [], left)[0]:
                    break
                line = stdout.readline().decode()
                if line.startswith(READY):
                    self.port = int(line.split("port=")[1].split()[0])
                    return
                if not line:
                    process.wait()
                    raise EdgeNodeError(f"embedded node ended with code {process.returncode}: {self._last_line()}")
        raise EdgeNodeError(f"embedded node was not ready within {timeout:g} s: {self._last_line()}")

    def _last_line(self) -> str:
        if self._log is not None:
            return "see its log"
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def stop(self, timeout: float = 8.0) -> int | None:
        """End the node in order, by force after `timeout` seconds. Returns its exit code, None if it never ran."""
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return process.returncode

    def kill(self) -> None:
        """End the node as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self, timeout: float = 30.0) -> Self:
        """Stop and start on the same port; clients reconnect by themselves."""
        self.stop()
        return self.start(timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
