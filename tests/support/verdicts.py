"""Short ways to write verdicts about one job, for tests."""

from core.ledger.verdicts import (
    Action,
    Cancel,
    Claimed,
    Decided,
    Expired,
    Failed,
    Lost,
    Preempted,
    Redriven,
    Refused,
    Released,
    Skipped,
    Succeeded,
    Verdict,
)

EPOCH = "e0"
ORIGIN = f"{EPOCH}:0:7"
JOB_ID = "01890000-0000-7000-8000-000000000007"


class About:
    """Makes verdicts about one job."""

    def __init__(self, origin: str = ORIGIN, job_id: str = JOB_ID) -> None:
        self.origin = origin
        self.job_id = job_id

    def claimed(self, n: int = 1, by: str = "a") -> Verdict:
        return Claimed(self.origin, self.job_id, n, by, "jobs.exec.default.b0", 0, 5)

    def succeeded(self, n: int = 1, by: str = "a") -> Verdict:
        return Succeeded(self.origin, self.job_id, n, by, 1000, 0.5)

    def failed(self, n: int = 1, by: str = "a", error_type: str = "ValueError") -> Verdict:
        return Failed(self.origin, self.job_id, n, by, 1000, 0.5, "transient", error_type, "no", 3)

    def lost(self, n: int = 1, by: str = "a") -> Verdict:
        return Lost(self.origin, self.job_id, n, by, "lease lapsed", 4)

    def released(self, n: int = 1, by: str = "a") -> Verdict:
        return Released(self.origin, self.job_id, n, by, "drain")

    def preempted(self, n: int = 1) -> Verdict:
        return Preempted(self.origin, self.job_id, n, 0.97, 6)

    def retry(self, n: int = 1, due_ms: int = 2000) -> Verdict:
        return Decided(self.origin, self.job_id, n, Action.RETRY, "backoff", due_ms)

    def hold(self, n: int = 1) -> Verdict:
        return Decided(self.origin, self.job_id, n, Action.HOLD, "outage")

    def dead(self, n: int = 1) -> Verdict:
        return Decided(self.origin, self.job_id, n, Action.DEAD, "permanent")

    def cancel(self) -> Verdict:
        return Cancel(self.origin, self.job_id, "a person")

    def cancel_by_id(self) -> Verdict:
        return Cancel("", self.job_id, "a person")

    def expired(self) -> Verdict:
        return Expired(self.origin, self.job_id)

    def skipped(self) -> Verdict:
        return Skipped(self.origin, self.job_id, "parent died")

    def refused(self) -> Verdict:
        return Refused(self.origin, self.job_id, "unknown pool")

    def redriven(self, n: int = 2) -> Verdict:
        return Redriven(self.origin, self.job_id, n, "jobs.dead", 0, 1, "desk")
