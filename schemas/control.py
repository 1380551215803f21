"""Records of the compacted topic ``control``: what operators decided, and the epoch."""

import msgspec

from core.breaker import State
from core.epoch import TopicMark
from core.subjects import Scope


class EpochRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="EPOCH", tag_field="kind"):
    """Names one incarnation of the topics, and says which topics these are.

    Written when they are created, and again when topics are added. Every service refuses to start on
    topics that are not these, on another partition count, and on a fold version it does not know.
    """

    epoch: str
    partitions: int
    fold_version: int
    """As written: of the rules that held by then. As given by ``read_epoch``: of the newest ones."""
    created_ms: int
    generation: int = 1
    """Rises with every new epoch; of records with the same one, the first names the epoch."""
    cluster_id: str = ""
    """Empty, like ``topics``, in records of versions that did not note them."""
    topics: dict[str, TopicMark] = {}
    """The topics of this epoch by name. While it is made: those it takes over."""
    making: bool = False
    """Its topics are not all there yet: no service may start, ``penstock epoch new`` goes on."""
    doomed: dict[str, str] = {}
    """While it is made: topics of the epoch before by name, with the ids that are to be deleted."""
    before: tuple[str, ...] = ()
    """Earlier epochs of the same pipeline, oldest first."""


class DrainRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="DRAIN", tag_field="kind"):
    """Asks an executor instance to finish or hand back what it holds, and to claim no more."""

    instance: str
    draining: bool
    by: str = ""


class PresenceRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="PRESENCE", tag_field="kind"):
    """A service instance runs; written at its start, every ten minutes, and when its wall clock moved."""

    service: str
    instance: str
    wall_ms: int
    host: str
    pid: int
    version: str
    metrics_port: int = 0
    skew_ms: int | None = None
    """Wall clock minus broker time, as measured; None at the start, when nothing was measured yet."""


class FoldVersionRecord(msgspec.Struct, frozen=True, tag="FOLD", tag_field="kind"):
    """Other rules of the fold hold from here on.

    Stands once on every partition of the ledger, where it takes effect, and afterwards in
    ``control``, where services see at their start whether they know the rules.
    """

    version: int


class PauseRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="PAUSE", tag_field="kind"):
    """Nothing of one type, tenant or pool is claimed from here on; or it is again."""

    scope: Scope
    name: str
    paused: bool
    reason: str = ""
    by: str = ""


class LimitRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="LIMIT", tag_field="kind"):
    """Claims of one type or tenant, all executors together, keep below a rate from here on."""

    scope: Scope
    name: str
    rate_per_s: float | None
    """None: without a limit again."""
    burst: float = 1.0
    """Claims that may come at once after a time without any."""
    by: str = ""


class CircuitRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag="CIRCUIT", tag_field="kind"):
    """A circuit is as it says from here on; beside what operators paused or limited, never instead of it.

    The fields are those of ``core.breaker.Circuit``; times are broker time, ms.
    """

    name: str
    """A type, or ``http.request@HOST``."""
    state: State
    since_ms: int
    changed_ms: int
    rate_per_s: float = 0.0
    usual_per_s: float = 0.0
    trips: int = 0
    calm: int = 0
    reason: str = ""
    rests_until_ms: int = 0
    uses: tuple[str, ...] = ()
    """What its jobs call."""
    by: str = ""
    """A person, when it was one."""


ControlRecord = (
    EpochRecord | DrainRecord | PresenceRecord | FoldVersionRecord | PauseRecord | LimitRecord | CircuitRecord
)

EPOCH_KEY = b"epoch"
FOLD_VERSION_KEY = b"fold-version"
