"""What ends a handler besides its return and its failures.

JobInterrupted
├── JobCancelled     a person cancelled the job, or its tenant was deactivated
├── JobLost          the attempt is over: the lease ran out and another worker may hold the job
└── WorkerStopping   the process is asked to stop; the job goes back to the queue and is not failed
"""


class JobInterrupted(Exception):
    pass


class JobCancelled(JobInterrupted):
    pass


class JobLost(JobInterrupted):
    pass


class WorkerStopping(JobInterrupted):
    pass


class PermanentFailure(Exception):
    """Raised by a handler when trying again cannot help; its text is shown to people."""
