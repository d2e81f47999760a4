"""Starts the whole console on one machine: `manage.py up`, and with text to try it on `manage.py up --demo`."""

import asyncio
import fcntl
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFault
from django.db import connections
from psycopg_pool import PoolTimeout
from rich.console import Console
from rich.markup import escape

from collections_admin import demo
from collections_admin.errors import ConsoleError
from collections_admin.models import User
from dashboard.processes import Part, RunningPart, StartFailed, stop_all

FIRST_SUPERUSER = "admin@console.local"
COLOURS = {"node": "magenta", "web": "cyan", "worker": "green", "console": "bold"}


class Command(BaseCommand):
    help = "Start web, worker and, without a Qdrant configured, the embedded node. Ctrl-C stops all of it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="load two tenants with real text on the first start")

    def handle(self, **options: Any) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        lock = _lock_data_folder()
        _check_port(settings.LISTEN_HOST, settings.LISTEN_PORT, "LISTEN_PORT")
        if settings.EMBEDDED_NODE:
            _check_port("127.0.0.1", settings.EMBEDDED_NODE_PORT, "EMBEDDED_NODE_PORT")
        password = self._prepare()
        try:
            code = asyncio.run(self._run(password, with_demo=options["demo"]))
        finally:
            lock.close()
        sys.exit(code)

    def _prepare(self) -> str:
        """Database, static files and the first superuser; returns its password when it was made just now."""
        self._say("console", "preparing database and static files …")
        try:
            _check_database()
            call_command("migrate", verbosity=0, interactive=False)
            call_command("collectstatic", verbosity=0, interactive=False)
            return _first_superuser()
        except (DatabaseFault, PoolTimeout) as error:
            first_line = str(error).strip().splitlines()[0]
            raise CommandError(f"The database cannot be used ({first_line}). Look at DATABASE_URL.") from None
        except OSError as error:
            raise CommandError(f"The data folder {settings.DATA_DIR} cannot be written ({error.strerror}).") from None
        finally:
            connections.close_all()

    async def _run(self, password: str, *, with_demo: bool) -> int:
        stop = asyncio.Event()
        signals = _Signals(stop)
        parts = [RunningPart(part, self._say) for part in _parts()]
        signals.on_second = lambda: [part.kill() for part in parts]
        started: list[RunningPart] = []
        try:
            for part in parts:
                started.append(part)
                await _first_of(part.start(), stop)
                if stop.is_set():
                    return 0
            self._banner(password)
            if with_demo:
                await _first_of(self._load_demo(), stop)
            await stop.wait()
        except StartFailed as error:
            self._say("console", f"[red]{error}[/red]")
            return 1
        finally:
            self._say("console", "stopping …")
            begun = time.monotonic()
            await stop_all(started)
            self._say("console", f"stopped after {time.monotonic() - begun:.1f} s")
        return 0

    async def _load_demo(self) -> None:
        """The console goes on without its demo; the next start tries again."""
        try:
            await demo.load(say=lambda line: self._say("console", line))
        except ConsoleError as error:
            self._say("console", f"[red]the demo could not be loaded: {escape(error.message)}[/red]")

    def _banner(self, password: str) -> None:
        database = settings.DATABASES["default"]
        postgresql = database["ENGINE"].endswith("postgresql")
        server = f"PostgreSQL {database.get('HOST') or 'local'}/{database['NAME']}"
        place = server if postgresql else f"SQLite {database['NAME']}"
        embedded = f"embedded node at 127.0.0.1:{settings.EMBEDDED_NODE_PORT} (gRPC)"
        qdrant = embedded if settings.EMBEDDED_NODE else settings.QDRANT_URL or settings.QDRANT_HOST
        rows = [
            ("Address", f"[bold]{_address()}[/bold]"),
            ("Data", str(settings.DATA_DIR)),
            ("Database", place),
            ("Qdrant", qdrant),
        ]
        if password:
            rows.append(("Sign in", f"[bold]{FIRST_SUPERUSER}[/bold] with the password [bold]{password}[/bold]"))
            rows.append(("", "shown this once; `manage.py changepassword` sets another"))
        self.console.print(f"\n[bold]Retrieval console {settings.VERSION} is ready[/bold]")
        for name, value in rows:
            self.console.print(f"  {name:<9} {value}")
        self.console.print("  [dim]Ctrl-C stops everything.[/dim]\n")

    def _say(self, name: str, line: str) -> None:
        colour = COLOURS.get(name, "white")
        text = line if name == "console" else line.replace("[", r"\[")
        self.console.print(f"[{colour}]{name:<8}[/{colour}] {text}")


class _Signals:
    """The first Ctrl-C or SIGTERM stops in order; another one, a second later or more, kills."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop = stop
        self.first_at = 0.0
        self.on_second: Any = None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._arrived)

    def _arrived(self) -> None:
        # A terminal and what runs in it may both send the one signal of the one key.
        if self.stop.is_set() and self.on_second and time.monotonic() - self.first_at > 1:
            self.on_second()
        if not self.stop.is_set():
            self.first_at = time.monotonic()
        self.stop.set()


def _parts() -> list[Part]:
    python = sys.executable
    web = [
        *(python, "-m", "granian", "--interface", "asgi", "--host", settings.LISTEN_HOST),
        *("--port", str(settings.LISTEN_PORT), "--log-level", "warning", "--no-access-log"),
        *("--backlog", "1024", "--workers-kill-timeout", "3s", "--respawn-failed-workers"),
        *("--static-path-route", "/static", "--static-path-mount", str(settings.STATIC_ROOT)),
        *("--static-path-expires", "1d", "dashboard.asgi:application"),
    ]
    parts = []
    if settings.EMBEDDED_NODE:
        port = str(settings.EMBEDDED_NODE_PORT)
        node = [python, "-m", "collections_admin.edge_node", "--data", str(settings.DATA_DIR / "node"), "--port", port]
        parts.append(Part(name="node", command=node, stop_seconds=2.5, ready=lambda: _until_open(int(port))))
    worker = [python, str(settings.BASE_DIR / "manage.py"), "worker"]
    parts.append(Part(name="worker", command=worker, stop_seconds=6.5, ready=_at_once))
    parts.append(Part(name="web", command=web, stop_seconds=6.0, ready=_until_web_answers))
    return parts


async def _at_once() -> None:
    await asyncio.sleep(0.5)


async def _until_open(port: int) -> None:
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)


async def _until_web_answers() -> None:
    while not await asyncio.to_thread(_answers, f"{_address()}accounts/login/"):
        await asyncio.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _address() -> str:
    host = "127.0.0.1" if settings.LISTEN_HOST in {"0.0.0.0", "::"} else settings.LISTEN_HOST  # noqa: S104 - compared only
    return f"http://{host if ':' not in host else f'[{host}]'}:{settings.LISTEN_PORT}/"


async def _first_of(work: Any, stop: asyncio.Event) -> None:
    """Run `work` unless told to stop before it is done; its errors come through."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return
    task.result()


def _lock_data_folder() -> Any:
    file = (settings.DATA_DIR / "up.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandError(f"Another console is already running on the data folder {settings.DATA_DIR}.") from None
    return file


def _check_database() -> None:
    """Without the pool, which would hide the reason and try again for as long as it may."""
    wrapped = connections["default"]
    options = {name: value for name, value in wrapped.settings_dict["OPTIONS"].items() if name != "pool"}
    if wrapped.vendor == "postgresql":
        options["connect_timeout"] = 5
    probe = type(wrapped)(wrapped.settings_dict | {"OPTIONS": options}, "probe")
    probe.ensure_connection()
    probe.close()


def _check_port(host: str, port: int, variable: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = f"{host}:{port} cannot be used ({error.strerror})"
            raise CommandError(f"{reason}. Set {variable} to another port.") from None


def _first_superuser() -> str:
    if User.objects.filter(is_superuser=True).exists():
        return ""
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser(FIRST_SUPERUSER, password)
    return password
