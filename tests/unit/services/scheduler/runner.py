"""What runs jobs in the simulation: claims what is ready by the fold, and ends it as its fate says."""

from collections.abc import Mapping
from enum import Enum, auto

import msgspec

from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Action, Cancel, Claimed, Decided, Failed, Succeeded, Verdict
from core.log import TopicPartition
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted, decode_if_verdict, ledger_record
from schemas.routing import ready_record
from tests.unit.services.scheduler.simulation import EPOCH, ROUTES, World

BOOT = "boot-1"


class Fate(Enum):
    """How a job ends that is let run."""

    SUCCEEDS = auto()
    SUCCEEDS_AT_LAST = auto()
    """Its first dispatch fails and is tried again."""
    DIES = auto()


class Runner:
    """Executor and dlq_handler in one, over the ledger of a world; outlives the schedulers."""

    def __init__(self, world: World, fates: Mapping[str, Fate]) -> None:
        self._world = world
        self._fates = fates
        self._folds = [LedgerFold(EPOCH) for _ in range(ROUTES.partitions)]
        self._read: dict[TopicPartition, int] = {}
        self.running: dict[str, AcceptedJob] = {}
        """By origin."""
        self.started: list[AcceptedJob] = []
        """Each claim that held, in the order of starting."""
        self.most_at_once = 0

    def claim(self) -> None:
        """Take everything that is ready and may be claimed."""
        for partition in range(ROUTES.partitions):
            place = TopicPartition(ROUTES.ready, partition)
            records = self._world.log[place][self._read.get(place, 0) :]
            self._read[place] = len(self._world.log[place])
            for record in records:
                job = decode_accepted(record)
                self._follow()
                if self._folds[partition].may_claim(job.origin, job.job_id, job.n):
                    self._say(Claimed(job.origin, job.job_id, job.n, BOOT, "exec", 0, 0))
                    self.running[job.origin] = job
                    self.started.append(job)
        self._check()

    def end_oldest(self) -> None:
        """End the dispatch that has run longest."""
        if not self.running:
            return
        origin, job = next(iter(self.running.items()))
        del self.running[origin]
        fate = self._fates.get(origin, Fate.SUCCEEDS)
        if fate is Fate.SUCCEEDS or (fate is Fate.SUCCEEDS_AT_LAST and job.n > 1):
            self._say(Succeeded(origin, job.job_id, job.n, BOOT, 0, 0.0))
            return
        self._say(Failed(origin, job.job_id, job.n, BOOT, 0, 0.0, "transient", "E", "no", 0))
        if fate is Fate.DIES:
            self._say(Decided(origin, job.job_id, job.n, Action.DEAD, "enough"))
            return
        self._say(Decided(origin, job.job_id, job.n, Action.RETRY, "again", due_ms=0))
        again = msgspec.structs.replace(job, n=job.n + 1, attempt=job.attempt + 1)
        self._world.put(ready_record(ROUTES, again))

    def cancel(self, job: AcceptedJob) -> None:
        """Ask that a job does not run."""
        self._say(Cancel(job.origin, job.job_id, "test"))

    def _say(self, verdict: Verdict) -> None:
        self._world.put(ledger_record(ROUTES, verdict))

    def _follow(self) -> None:
        for partition, fold in enumerate(self._folds):
            log = self._world.log[TopicPartition(ROUTES.ledger, partition)]
            for record in log[fold.next_offset :]:
                verdict = decode_if_verdict(record)
                if verdict is None:
                    fold.skip_to(record.offset + 1)
                else:
                    fold.apply(record.offset, record.timestamp_ms, verdict)

    def _check(self) -> None:
        keys = [(job.tenant, job.ordering_key) for job in self.running.values() if job.ordering_key]
        assert len(set(keys)) == len(keys), f"two of one key run: {sorted(map(str, keys))}"
        self.most_at_once = max(self.most_at_once, len(self.running))
