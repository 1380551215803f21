"""What this executor holds, from the claim's append until its closure is in the log."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from core.log import Record
from core.subjects import Subject
from schemas.accepted_job import AcceptedJob, QueuedJob
from schemas.executors import dispatch_key


class Stage(Enum):
    """How far a held dispatch is."""

    CLAIMING = auto()
    """Its claim is appended or under way, not read back."""
    RUNNING = auto()
    CLOSING = auto()
    """It ended here; the closure is under way."""


class Source(StrEnum):
    """Whose partition a dispatch was claimed in; the value is the label of the metric."""

    OWN = "own"
    STOLEN = "stolen"


@dataclass(slots=True)
class HeldJob:
    """One held dispatch; times in seconds of the boot clock unless named otherwise."""

    queued: QueuedJob
    partition: int
    claimed_at_s: float
    claim_seq: int = 0
    """``seq`` of the claim made for it."""
    source: Source = Source.OWN
    stage: Stage = Stage.CLAIMING
    read_back_end: int = -1
    """Known end of the ledger partition when the claim was read back; -1 before that."""
    started_ms: int = 0
    """Broker time at the start."""
    cancel_sent: bool = False
    limits: tuple[Subject, ...] = ()
    """Subjects of which a token was taken for the claim."""
    is_oldest: bool = False
    """Nothing that waited here was ready before it when it was taken."""

    @property
    def job(self) -> AcceptedJob:
        """The job."""
        return self.queued.job

    @property
    def key(self) -> str:
        """Dispatch identity."""
        return dispatch_key(self.job.origin, self.job.n)


@dataclass(slots=True)
class WaitingJob:
    """A queued dispatch as fetched, with the record it came from."""

    queued: QueuedJob
    record: Record
    limits: tuple[Subject, ...] = ()
    """Subjects of it that are limited: a claim takes a token of each."""
    is_oldest: bool = False
    """Nothing that waited here was ready before it when it was taken."""


class Held:
    """All dispatches held under the current boot id."""

    def __init__(self) -> None:
        self._jobs: dict[str, HeldJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, held: HeldJob) -> None:
        """Hold one more."""
        self._jobs[held.key] = held

    def get(self, key: str) -> HeldJob | None:
        """Give one, or None when it is not held (any more)."""
        return self._jobs.get(key)

    def remove(self, key: str) -> HeldJob | None:
        """Let one go."""
        return self._jobs.pop(key, None)

    def drop_all(self) -> list[HeldJob]:
        """Let everything go at once: the lease has lapsed, or the process ends."""
        dropped = list(self._jobs.values())
        self._jobs.clear()
        return dropped

    def all(self) -> list[HeldJob]:
        """Give what is held, oldest claim first."""
        return list(self._jobs.values())

    def keys(self) -> tuple[str, ...]:
        """Dispatch identities, for the heartbeat."""
        return tuple(self._jobs)

    def count(self, stage: Stage) -> int:
        """How many are at that stage."""
        return sum(1 for held in self._jobs.values() if held.stage is stage)

    def count_oldest(self) -> int:
        """How many were the oldest that waited when they were taken."""
        return sum(1 for held in self._jobs.values() if held.is_oldest)

    def count_stolen(self) -> int:
        """How many were claimed in partitions of others."""
        return sum(1 for held in self._jobs.values() if held.source is Source.STOLEN)

    def count_type(self, type_: str) -> int:
        """How many of that type are held, at any stage."""
        return sum(1 for held in self._jobs.values() if held.job.type == type_)

    def partitions(self) -> frozenset[int]:
        """Ledger partitions on which something is held."""
        return frozenset(held.partition for held in self._jobs.values())
