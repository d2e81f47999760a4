import asyncio
import importlib
import logging
import os
import signal
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from collections_admin.jobs.worker import JobWorker


class Command(BaseCommand):
    help = "Runs jobs until SIGTERM or SIGINT; then stops within 10 s and gives back what is not finished."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=settings.WORKER_CONCURRENCY)
        parser.add_argument("--parent-pid", type=int, help="stop when this parent process ends")
        parser.add_argument("--import", dest="modules", action="append", default=[], help="further job kinds")

    def handle(self, *, concurrency: int, parent_pid: int | None, modules: list[str], **_: Any) -> None:
        for module in modules:
            importlib.import_module(module)
        asyncio.run(_work(max(1, min(concurrency, 32)), parent_pid))


async def _work(concurrency: int, parent_pid: int | None) -> None:
    worker = JobWorker(concurrency=concurrency, parent_pid=parent_pid, hard_exit=_leave_at_once)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not the loop's own handlers: those wait for a handler that blocks the loop.
        signal.signal(number, lambda *_: worker.request_stop())
    try:
        await worker.run()
    finally:
        await _close_qdrant()


async def _close_qdrant() -> None:
    from collections_admin.qdrant.client import (
        close_connections,  # only a worker that has used it pays for it
    )

    with suppress(TimeoutError):
        await asyncio.wait_for(close_connections(), 1)


def _leave_at_once() -> None:
    logging.shutdown()
    os._exit(0)
