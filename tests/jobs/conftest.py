"""Workers in processes of their own, on the database of the tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

import tests.jobs.kinds  # noqa: F401 - registers the kinds of the tests
from collections_admin.models import Job, Worker

ROOT = Path(__file__).resolve().parent.parent.parent


class Workers:
    """Starts `manage.py worker` processes and ends what is left of them."""

    def __init__(self, log_folder: Path) -> None:
        self._logs = log_folder
        self.running: list[subprocess.Popen] = []

    def start(self, *options: str, lease: float = 30, heartbeat: float = 1) -> subprocess.Popen:
        """Returns once the worker has written its row."""
        log = (self._logs / f"worker-{len(self.running)}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker", "--import", "tests.jobs.kinds", *options],
            cwd=ROOT,
            env=os.environ
            | {
                "DATABASE_URL": test_database_url(),
                "JOB_TESTS_HURRY": "1",
                "JOB_LEASE_SECONDS": str(lease),
                "JOB_HEARTBEAT_SECONDS": str(heartbeat),
            },
            stdout=log,
            stderr=log,
        )
        log.close()
        self.running.append(process)
        return process

    def ready(self) -> None:
        pids = {process.pid for process in self.running}
        wait_until(lambda: pids <= set(Worker.objects.values_list("pid", flat=True)), self.logs)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self._logs.glob("*.log")))

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
        for process in self.running:
            process.wait()


@pytest.fixture
def workers(transactional_db: None, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The file in which the handlers of the tests note what they do."""
    path = tmp_path / "journal"
    path.touch()
    return path


def test_database_url() -> str:
    """What `DATABASE_URL` has to be for a process that shall see the database of the tests."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


test_database_url.__test__ = False


def wait_until(condition: Callable[[], object], explain: Callable[[], str] = str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"It did not happen within {seconds:g} s.\n{explain()}")
        time.sleep(0.05)


def ended(*jobs: Job) -> Callable[[], bool]:
    ids = [job.pk for job in jobs]
    return lambda: not Job.objects.filter(pk__in=ids, status__in=["queued", "running"]).exists()


def lines(journal: Path) -> list[list[str]]:
    """[job id, attempt, word] of each note."""
    return [line.split() for line in journal.read_text().splitlines()]
