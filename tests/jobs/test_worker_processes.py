"""Several real worker processes on one database: killed, frozen, stopped, blocked."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from collections_admin.jobs import heart, worker
from collections_admin.jobs.queue import add_job
from collections_admin.models import Job, JobAttempt, Worker
from tests.jobs.conftest import ROOT, Workers, ended, lines, test_database_url, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_thousand_jobs_on_four_processes_run_once_each(workers: Workers, journal: Path) -> None:
    jobs = [add_job("test_quick", parameters={"journal": str(journal)}) for _ in range(1000)]
    for _ in range(4):
        workers.start("--concurrency", "4")
    wait_until(ended(*jobs), workers.logs, 90)
    runs = Counter(job_id for job_id, _, _ in lines(journal))
    assert runs == Counter({str(job.pk): 1 for job in jobs})
    assert set(Job.objects.values_list("status", "attempt")) == {("succeeded", 1)}
    assert JobAttempt.objects.filter(outcome="succeeded").count() == 1000
    assert JobAttempt.objects.values("worker_name").distinct().count() > 1


def test_killed_workers_lose_no_job(workers: Workers, journal: Path) -> None:
    parameters = {"journal": str(journal), "steps": 12, "pause": 0.1}
    jobs = [add_job("test_steps", parameters=parameters) for _ in range(12)]
    victims = [workers.start("--concurrency", "3", lease=2, heartbeat=0.3) for _ in range(2)]
    wait_until(lambda: len({note[0] for note in lines(journal)}) >= 4, workers.logs)
    workers.start("--concurrency", "8", lease=2, heartbeat=0.3)
    for victim in victims:
        victim.kill()
    wait_until(ended(*jobs), workers.logs)
    assert set(Job.objects.values_list("status", flat=True)) == {"succeeded"}
    died = JobAttempt.objects.filter(outcome="died")
    assert died.count() == Job.objects.filter(deaths=1).count() > 0
    assert Job.objects.filter(failures__gt=0).count() == 0
    ends = Counter(job_id for job_id, _, word in lines(journal) if word == "ended")
    assert ends == Counter({str(job.pk): 1 for job in jobs})


def test_a_job_goes_on_from_its_saved_state_after_a_kill(workers: Workers, journal: Path) -> None:
    job = add_job("test_steps", parameters={"journal": str(journal), "steps": 15, "pause": 0.1})
    victim = workers.start(lease=1, heartbeat=0.2)
    wait_until(lambda: Job.objects.get().saved_state.get("step", 0) >= 3, workers.logs)
    victim.kill()
    workers.start(lease=1, heartbeat=0.2)
    wait_until(ended(job), workers.logs)
    assert Job.objects.get().result["from"] >= 3


def test_a_frozen_worker_that_returns_does_not_write(workers: Workers, journal: Path) -> None:
    job = add_job("test_steps", parameters={"journal": str(journal), "steps": 10, "pause": 0.1})
    zombie = workers.start(lease=1, heartbeat=0.2)
    wait_until(lambda: Job.objects.get().saved_state.get("step", 0) >= 2, workers.logs)
    zombie.send_signal(signal.SIGSTOP)
    workers.start(lease=1, heartbeat=0.2)
    wait_until(lambda: Job.objects.get().attempt == 2, workers.logs)
    zombie.send_signal(signal.SIGCONT)
    wait_until(ended(job), workers.logs)
    wait_until(lambda: f"job {job.short_id} test_steps lost" in workers.logs(), workers.logs)
    assert Job.objects.get().status == "succeeded"
    assert [note[1:] for note in lines(journal)] == [["1", "started"], ["2", "started"], ["2", "ended"]]


def test_a_job_that_kills_its_workers_is_put_aside(workers: Workers, journal: Path) -> None:
    job = add_job("test_deadly", parameters={"journal": str(journal)})
    started = [workers.start(lease=1, heartbeat=0.2) for _ in range(4)]
    wait_until(ended(job), workers.logs)
    job.refresh_from_db()
    assert (job.status, job.is_quarantined, job.deaths, job.attempt) == ("failed", True, 3, 3)
    assert "died 3 times" in job.error
    assert [note[1] for note in lines(journal)] == ["1", "2", "3"]
    assert sorted(process.poll() or 0 for process in started) == [0, 9, 9, 9]


def test_sigterm_gives_unfinished_jobs_back_and_no_failure_is_counted(workers: Workers, journal: Path) -> None:
    job = add_job("test_steps", parameters={"journal": str(journal), "steps": 100, "pause": 0.1})
    process = workers.start()
    wait_until(lambda: Job.objects.get().saved_state.get("step", 0) >= 2, workers.logs)
    process.terminate()
    assert process.wait(15) == 0
    job.refresh_from_db()
    assert (job.status, job.failures, job.deaths, job.worker) == ("queued", 0, 0, None)
    assert job.attempts.get().outcome == "released"
    assert not Worker.objects.exists()


@pytest.mark.parametrize("kind", ["test_busy", "test_stubborn"])
def test_a_handler_that_does_not_listen_cannot_hold_up_the_stop(kind: str, workers: Workers, journal: Path) -> None:
    job = add_job(kind, parameters={"journal": str(journal), "seconds": 60})
    process = workers.start()
    wait_until(lambda: lines(journal), workers.logs)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    job.refresh_from_db()
    assert (job.status, job.failures, job.deaths) == ("queued", 0, 0)


@pytest.mark.parametrize("kind", ["test_busy", "test_stubborn"])
def test_a_cancel_ends_a_job_whose_handler_does_not_listen(kind: str, workers: Workers, journal: Path) -> None:
    job = add_job(kind, parameters={"journal": str(journal), "seconds": 12})
    workers.start()
    wait_until(lambda: lines(journal), workers.logs)
    Job.objects.update(cancel_requested_at=timezone.now())
    wait_until(ended(job), workers.logs)
    job.refresh_from_db()
    assert job.status == "cancelled"
    assert [note[2] for note in lines(journal)].count("ended") == 0


def test_a_blocked_event_loop_does_not_look_dead(workers: Workers, journal: Path) -> None:
    job = add_job("test_busy", parameters={"journal": str(journal), "seconds": 3})
    workers.start(lease=1, heartbeat=0.2)
    workers.start(lease=1, heartbeat=0.2)
    wait_until(ended(job), workers.logs)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.deaths) == ("succeeded", 1, 0)


def test_a_worker_stops_when_its_parent_is_gone(workers: Workers, tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, 'manage.py', 'worker', '--parent-pid', str(os.getpid())])\n"
        "time.sleep(60)\n"
    )
    environment = os.environ | {"DATABASE_URL": test_database_url()}
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    wait_until(Worker.objects.exists)
    parent.kill()
    parent.wait()
    wait_until(lambda: not Worker.objects.exists())


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no connections to lose")
def test_a_worker_survives_losing_all_its_connections(workers: Workers, journal: Path) -> None:
    job = add_job("test_steps", parameters={"journal": str(journal), "steps": 30, "pause": 0.1})
    own = database_sessions()
    process = workers.start()
    for step in (3, 8):
        wait_until(lambda step=step: Job.objects.get().saved_state.get("step", 0) >= step, workers.logs)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [list(database_sessions() - own)])
    wait_until(ended(job), workers.logs)
    job.refresh_from_db()
    assert (job.status, job.deaths) == ("succeeded", 0)
    assert process.poll() is None
    late = add_job("test_quick")
    wait_until(ended(late), workers.logs)


def database_sessions() -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return {pid for (pid,) in cursor.fetchall()}


def test_the_limits_keep_their_promises() -> None:
    """Takeover within 45 s, cancel within 5 s, stop within 10 s."""
    look = heart.LOOK_SECONDS
    assert settings.JOB_LEASE_SECONDS + min(5.0, settings.JOB_HEARTBEAT_SECONDS) + look < 45
    assert look + heart.CANCEL_FOR_GOOD_AFTER + look <= 5
    assert heart.STOP_FOR_GOOD_AFTER + look <= 10
    assert worker.STOP_CHECKPOINT_SECONDS + worker.STOP_TASK_SECONDS + worker.LEAVE_SECONDS + 2 <= 10
