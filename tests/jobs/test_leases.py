from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from collections_admin.jobs import leases
from collections_admin.jobs.errors import JobLost
from collections_admin.jobs.events import JobFinished, subscribe, unsubscribe
from collections_admin.jobs.leases import Lease
from collections_admin.jobs.queue import add_job
from collections_admin.models import Job, JobAttempt, JobLog, Worker

pytestmark = pytest.mark.django_db(transaction=True)


def claimed(**fields: object) -> tuple[Job, Lease]:
    add_job("test_quick", **fields)
    job = leases.claim(uuid4(), "w", 1)[0]
    return job, Lease(job_id=job.pk, attempt=job.attempt, worker=job.worker)


def expire() -> None:
    Job.objects.update(lease_until=timezone.now() - timedelta(minutes=1))


def test_every_write_of_a_lost_attempt_is_refused() -> None:
    job, zombie = claimed()
    expire()
    leases.rescue_expired()
    successor = leases.claim(uuid4(), "w2", 1)[0]
    before = Job.objects.values().get()
    for write in (
        lambda: leases.write(zombie, progress_done=5, log=[JobLog(job=job, attempt=1, message="x")]),
        lambda: leases.succeed(zombie, {"from": "zombie"}),
        lambda: leases.fail(zombie, error="zombie"),
        lambda: leases.cancel(zombie),
        lambda: leases.release(zombie),
    ):
        with pytest.raises(JobLost):
            write()
    leases.renew(zombie.worker, [job.pk])
    assert Job.objects.values().get() == before
    assert not JobLog.objects.exists()
    assert successor.attempt == 2


def test_the_same_worker_with_an_older_attempt_is_refused_too() -> None:
    job, old = claimed()
    leases.release(old)
    again = leases.claim(old.worker, "w", 1)[0]
    with pytest.raises(JobLost):
        leases.succeed(old, {})
    assert again.attempt == 2
    assert leases.look(old.worker, [job.pk])[job.pk].attempt == 2


def test_a_renewed_lease_is_not_rescued() -> None:
    job, lease = claimed()
    expire()
    leases.renew(lease.worker, [job.pk])
    assert leases.rescue_expired() == []
    assert leases.look(lease.worker, [job.pk])[job.pk].cancel_reason is None


def test_a_full_batch_of_expired_leases_does_not_starve_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RESCUE_BATCH", 2)
    for _ in range(5):
        add_job("test_quick")
    leases.claim(uuid4(), "w", 5)
    expire()
    assert [len(leases.rescue_expired()) for _ in range(4)] == [2, 2, 1, 0]


def test_failures_wait_longer_each_time_and_then_end_the_job() -> None:
    job, lease = claimed(max_attempts=3)
    waits = []
    for number in (1, 2, 3):
        after = leases.fail(lease, error=f"error {number}", traceback="Traceback", backoff=100)
        waits.append((after.run_after - after.updated_at).total_seconds())
        if number < 3:
            Job.objects.update(run_after=timezone.now())
            again = leases.claim(uuid4(), "w", 1)[0]
            lease = Lease(job_id=job.pk, attempt=again.attempt, worker=again.worker)
    assert 75 <= waits[0] <= 125
    assert 150 <= waits[1] <= 250
    job.refresh_from_db()
    assert (job.status, job.failures, job.error) == ("failed", 3, "error 3")
    assert list(JobAttempt.objects.values_list("number", "outcome", "error")) == [
        (number, "failed", f"error {number}") for number in (1, 2, 3)
    ]


def test_the_wait_that_a_provider_asks_for_is_kept() -> None:
    _, lease = claimed()
    after = leases.fail(lease, error="429", backoff=1, wait=90)
    assert (after.run_after - after.updated_at).total_seconds() == 90


def test_a_permanent_failure_is_not_tried_again() -> None:
    _, lease = claimed()
    assert leases.fail(lease, error="encrypted", permanent=True).status == "failed"


def test_a_cancel_wins_over_retry_release_and_rescue() -> None:
    for end in (lambda lease: leases.fail(lease, error="x"), leases.release, lambda _: leases.rescue_expired()):
        job, lease = claimed()
        Job.objects.filter(pk=job.pk).update(
            cancel_requested_at=timezone.now(), lease_until=timezone.now() - timedelta(minutes=1)
        )
        end(lease)
        job.refresh_from_db()
        assert job.status == "cancelled"


def test_text_that_a_database_cannot_store_does_not_lose_the_end_of_a_job() -> None:
    job, lease = claimed()
    leases.fail(lease, error="a\x00b\ud800" * 500, traceback="\x00" * 30_000, permanent=True)
    job.refresh_from_db()
    assert job.status == "failed"
    assert job.error.startswith("a\ufffdb?")


def test_the_end_of_a_job_is_told_once_and_a_failing_listener_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[JobFinished] = []

    def broken(_: JobFinished) -> None:
        raise RuntimeError("listener")

    subscribe(broken)
    subscribe(heard.append)
    try:
        job, lease = claimed()
        leases.succeed(lease, {"x": 1})
        add_job("test_quick", max_attempts=2)
        retried = leases.claim(uuid4(), "w", 1)[0]
        leases.fail(Lease(job_id=retried.pk, attempt=1, worker=retried.worker), error="again")
    finally:
        unsubscribe(broken)
        unsubscribe(heard.append)
    assert [(event.job_id, event.status) for event in heard] == [(job.pk, "succeeded")]
    assert heard[0].run_time is not None
    assert "A listener failed" in caplog.text


def test_an_idle_claim_does_not_write(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(1):
        assert leases.claim(uuid4(), "w", 1) == []
    assert connection.get_autocommit()


def test_a_swept_worker_row_comes_back_with_the_next_beat() -> None:
    from collections_admin.jobs import workers

    row = workers.new_row(uuid4(), concurrency=2)
    workers.beat(row)
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    workers.sweep()
    assert not Worker.objects.exists()
    workers.beat(row)
    assert Worker.objects.get().pk == row.pk
