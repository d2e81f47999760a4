"""Job kinds of the tests; workers load them by `--import tests.jobs.kinds`. Runs are counted in a file per job."""

import asyncio
import os
import time
from pathlib import Path
from uuid import uuid4

from collections_admin.errors import InvalidInput
from collections_admin.jobs import heart, worker
from collections_admin.jobs.context import RunningJob
from collections_admin.jobs.registry import job_kind

if os.environ.get("JOB_TESTS_HURRY"):  # set for worker processes; their limits differ, the order in which they act not
    heart.CANCEL_TASK_AFTER, heart.CANCEL_FOR_GOOD_AFTER, heart.STOP_FOR_GOOD_AFTER = 0.5, 1.2, 2.5
    worker.STOP_CHECKPOINT_SECONDS, worker.STOP_TASK_SECONDS = 1.0, 0.5


def note(job: RunningJob, word: str) -> None:
    """Append a word to the journal that the test reads; one short append is whole on a local file system."""
    journal = job.parameters.get("journal")
    if journal:
        with Path(journal).open("a") as file:
            file.write(f"{job.id} {job.attempt} {word}\n")


@job_kind("test_quick", label="Quick")
async def quick(job: RunningJob) -> dict:
    note(job, "ran")
    return {"token": uuid4().hex}


@job_kind("test_steps", label="Steps", retry_backoff=0.2, max_attempts=10)
async def steps(job: RunningJob) -> dict:
    note(job, "started")
    first = job.saved_state.get("step", 0)
    count = job.parameters.get("steps", 20)
    for step in range(first, count):
        await job.sleep(job.parameters.get("pause", 0.1))
        await job.progress(step + 1, count, f"step {step + 1}", unit="steps")
        await job.save_state({"step": step + 1})
    await job.log("info", "all steps done")
    note(job, "ended")
    return {"from": first}


@job_kind("test_failing", label="Failing", max_attempts=3, retry_backoff=0.1)
async def failing(job: RunningJob) -> None:
    note(job, "ran")
    raise RuntimeError("cannot \x00 work \ud800")


@job_kind("test_refused", label="Refused")
async def refused(_: RunningJob) -> None:
    raise InvalidInput("parameters", "The file is encrypted.")


@job_kind("test_slow", label="Slow", timeout=0.2, max_attempts=1)
async def slow(_: RunningJob) -> None:
    await asyncio.sleep(30)


@job_kind("test_odd_result", label="Odd result")
async def odd_result(_: RunningJob) -> dict:
    return {"odd": object()}


@job_kind("test_busy", label="Busy")
async def busy(job: RunningJob) -> None:
    """Never lets the event loop go on."""
    note(job, "started")
    end = time.monotonic() + job.parameters.get("seconds", 30)
    while time.monotonic() < end:
        pass
    note(job, "ended")


@job_kind("test_stubborn", label="Stubborn")
async def stubborn(job: RunningJob) -> None:
    """Ignores cancelling."""
    note(job, "started")
    end = time.monotonic() + job.parameters.get("seconds", 30)
    while time.monotonic() < end:
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            note(job, "ignored")


@job_kind("test_deadly", label="Deadly")
async def deadly(job: RunningJob) -> None:
    note(job, "started")
    os._exit(9)
