"""The rules the walk runs under: all of the real ones, or all but one.

An ablation replaces one part by a subclass without the rule, or sets one switch of the simulated
world. Everything else stays the code the services run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from core.gates.id_gate import IdGate
from core.keeper import Keeper
from core.lease import Lease
from core.ledger.fold import LedgerFold
from core.rows import ATTEMPT_GROUPS, JOB_GROUPS, Group
from services.dlq_handler.handle import Handler
from services.executor.claim import Claimer
from services.executor.end import Closer
from services.executor.start import Starter


class Start(Enum):
    """When a claim is acted on."""

    READ_BACK = auto()
    ACKNOWLEDGED = auto()


class Watchdog(Enum):
    """What ends a worker when its executor cannot."""

    LEASE_AND_PARENT = auto()
    PARENT_ALONE = auto()
    LEASE_ALONE = auto()


class Boot(Enum):
    """Whose name an executor claims under."""

    NEW_ID = auto()
    STABLE_NAME = auto()


class Lapse(Enum):
    """What a lapse of the lease ends."""

    FINAL = auto()
    REVIVED = auto()


class Commit(Enum):
    """When the dlq_handler lets go of its input."""

    AFTER_OUTPUTS = auto()
    BEFORE_OUTPUTS = auto()


class Beginning(Enum):
    """How far a dlq_handler may begin without having acted."""

    UP_TO_COMMITTED = auto()
    NEWEST = auto()


class Sink(Enum):
    """How the table's position moves."""

    COMPARE_AND_SET = auto()
    OVERWRITE = auto()


class Trim(Enum):
    """What is asked before records of work are deleted, and when."""

    SETTLED = auto()
    COMMITTED_ALONE = auto()
    FOLD_FIRST = auto()
    UNSETTLED = auto()


@dataclass(frozen=True)
class Rules:
    """The parts of one world."""

    fold: type[LedgerFold] = LedgerFold
    lease: type[Lease] = Lease
    keeper: type[Keeper] = Keeper
    gate: type[IdGate] = IdGate
    claimer: type[Claimer] = Claimer
    starter: type[Starter] = Starter
    closer: type[Closer] = Closer
    handler: type[Handler] = Handler
    known_end: Callable[[int], int] = lambda fetched: fetched
    """From the end of the ledger as fetched to what the executor reads to before a start."""
    groups: tuple[Group, ...] = JOB_GROUPS
    attempt_groups: tuple[Group, ...] = ATTEMPT_GROUPS
    start: Start = Start.READ_BACK
    watchdog: Watchdog = Watchdog.LEASE_AND_PARENT
    boot: Boot = Boot.NEW_ID
    lapse: Lapse = Lapse.FINAL
    snapshot: Beginning = Beginning.UP_TO_COMMITTED
    commit: Commit = Commit.AFTER_OUTPUTS
    sink: Sink = Sink.COMPARE_AND_SET
    trim: Trim = Trim.SETTLED
