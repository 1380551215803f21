"""The keeper: which executors are gone, and which claims nobody can be running any more.

Loss is settled by the log, not by a clock. The keeper asks (a probe on the topic of the
heartbeats); reading its question back with no newer heartbeat before it is the proof, and every
reader of that topic finds the same. All times are broker times of records, so a keeper that slept,
or a broker that was away, proves nothing by itself.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import NamedTuple

from core.ledger.verdicts import Claimed
from core.log import Coordinate

UNHEARD_SEQ = -1
"""``seq`` of a probe for an executor of which no heartbeat is in the log; below every real one."""
FORGET_MS = 86_400_000
"""An ended executor without open claims is forgotten after this: as long as its topic keeps records."""


class LossReason(StrEnum):
    """Why a claim is given up."""

    LEASE_LAPSED = "lease_lapsed"
    """The executor has not been heard of for a lease, proven by a probe."""
    NOT_HELD = "not_held"
    """The executor lives, but its heartbeats do not list the claim."""
    GOODBYE = "goodbye"
    """The executor said that it holds nothing any more."""


class SendProbe(NamedTuple):
    """Ask on the topic of the heartbeats: has ``executor`` spoken since ``seq``."""

    executor: str
    seq: int


class OpenClaim(NamedTuple):
    """A claim that holds and is not closed, as far as the ledger was folded."""

    partition: int
    """Of the ledger."""
    origin: str
    job_id: str
    n: int
    executor: str
    claimed_ms: int
    """Broker time of the claim."""
    dispatched: Coordinate
    """Where the claimed job stands in its execution topic."""

    @property
    def dispatch(self) -> str:
        """``origin/n``, as heartbeats list it."""
        return f"{self.origin}/{self.n}"


class DeclareLost(NamedTuple):
    """Append LOST for this claim."""

    claim: OpenClaim
    reason: LossReason


class OpenClaims:
    """The open claims of the ledger partitions followed so far, by executor.

    Told of every CLAIMED that holds and every closure that holds, in the order of the ledger; the
    two are all that opens or closes a claim.
    """

    def __init__(self) -> None:
        self._by_executor: dict[str, dict[str, OpenClaim]] = {}

    def __len__(self) -> int:
        return sum(len(claims) for claims in self._by_executor.values())

    def opened(self, partition: int, timestamp_ms: int, claimed: Claimed) -> None:
        """Note a claim that holds."""
        claim = OpenClaim(
            partition,
            claimed.origin,
            claimed.job_id,
            claimed.n,
            claimed.executor,
            timestamp_ms,
            Coordinate(claimed.topic, claimed.partition, claimed.offset),
        )
        self._by_executor.setdefault(claimed.executor, {})[claimed.origin] = claim

    def closed(self, origin: str, executor: str) -> None:
        """Note a closure that holds; one that came late finds nothing to remove."""
        claims = self._by_executor.get(executor)
        if claims is None:
            return
        claims.pop(origin, None)
        if not claims:
            del self._by_executor[executor]

    def executors(self) -> list[str]:
        """Boot ids with open claims."""
        return list(self._by_executor)

    def of(self, executor: str, partitions: Collection[int]) -> list[OpenClaim]:
        """Give the open claims of one boot id on these ledger partitions."""
        claims = self._by_executor.get(executor, {})
        return [claim for claim in claims.values() if claim.partition in partitions]


class _Standing(Enum):
    ALIVE = auto()
    LAPSED = auto()
    GONE = auto()


@dataclass(slots=True)
class _Executor:
    """What the log of heartbeats says of one boot id."""

    seq: int
    heard_ms: int
    held: frozenset[str] | None = None
    """What the newest heartbeat lists; None before any was read."""
    standing: _Standing = _Standing.ALIVE
    asked_seq: int | None = None
    """``seq`` of a probe this keeper has sent and not read back."""


class Keeper:
    """What one reader of all heartbeats and probes knows; a pure function of that log's prefix.

    Several keepers may run. They agree on who has lapsed; of their LOST verdicts the first holds.

    Parameters
    ----------
    lease_ms
        How long a heartbeat vouches for what it lists; the same for every keeper and executor.
    """

    def __init__(self, lease_ms: int) -> None:
        self._lease_ms = lease_ms
        self._executors: dict[str, _Executor] = {}
        self._asked_unheard: set[str] = set()

    def heartbeat(
        self, at_ms: int, executor: str, seq: int, held: Iterable[str], *, goodbye: bool = False
    ) -> None:
        """Read a heartbeat; one of an executor that has lapsed does not revive it."""
        known = self._executors.get(executor)
        if known is None:
            known = self._executors[executor] = _Executor(seq, at_ms)
            self._asked_unheard.discard(executor)
        elif known.standing is not _Standing.ALIVE or seq <= known.seq:
            return
        known.seq, known.heard_ms, known.held = seq, at_ms, frozenset(held)
        known.asked_seq = None
        if goodbye:
            known.standing = _Standing.GONE

    def probe(self, at_ms: int, executor: str, seq: int) -> None:
        """Read a probe, anybody's: the proof, unless a newer heartbeat stands before it.

        A probe less than a lease after the heartbeat it names proves nothing, whoever wrote it. One
        for an executor never heard of starts its clock and proves nothing either: the heartbeat
        that refuted it may be older than the oldest record this keeper could read.
        """
        known = self._executors.get(executor)
        if known is None:
            self._asked_unheard.discard(executor)
            self._executors[executor] = _Executor(seq, at_ms)
            return
        if known.standing is not _Standing.ALIVE:
            return
        known.asked_seq = None
        if known.seq <= seq and at_ms - known.heard_ms >= self._lease_ms:
            known.standing = _Standing.LAPSED
            known.held = None

    def has_lapsed(self, executor: str) -> bool:
        """Whether the lease of this boot id has ended for good."""
        known = self._executors.get(executor)
        return known is not None and known.standing is _Standing.LAPSED

    def probes_due(self, now_ms: int, claims: OpenClaims, partitions: Collection[int]) -> list[SendProbe]:
        """Give the questions to ask now, each once until it was read back.

        Call it only when the log of heartbeats is read to its end, else it asks what is answered.

        Parameters
        ----------
        now_ms
            Broker time. Ahead of the broker, the probe would come too early to prove anything;
            behind, it is only late.
        partitions
            Ledger partitions this instance looks after: claims on them by an executor never heard
            of start that executor's clock.
        """
        probes: list[SendProbe] = []
        for executor, known in self._executors.items():
            silent = now_ms - known.heard_ms >= self._lease_ms
            if known.standing is _Standing.ALIVE and silent and known.asked_seq is None:
                known.asked_seq = known.seq
                probes.append(SendProbe(executor, known.seq))
        for executor in claims.executors():
            if executor in self._executors or executor in self._asked_unheard:
                continue
            first_ms = min((claim.claimed_ms for claim in claims.of(executor, partitions)), default=now_ms)
            if now_ms - first_ms >= self._lease_ms:
                self._asked_unheard.add(executor)
                probes.append(SendProbe(executor, UNHEARD_SEQ))
        return probes

    def losses(self, claims: OpenClaims, partitions: Collection[int]) -> list[DeclareLost]:
        """Give the open claims that nobody can be running, on these ledger partitions.

        The claims must be folded up to a ledger end asked for *after* this keeper's last record,
        or a closure on its way makes the LOST a waste (never a harm: the first closure holds).
        """
        lost: list[DeclareLost] = []
        for executor in claims.executors():
            known = self._executors.get(executor)
            if known is not None:
                owned = claims.of(executor, partitions)
                lost.extend(self._losses_of(known, owned))
        return lost

    def _losses_of(self, known: _Executor, claims: list[OpenClaim]) -> list[DeclareLost]:
        match known.standing:
            case _Standing.LAPSED:
                return [DeclareLost(claim, LossReason.LEASE_LAPSED) for claim in claims]
            case _Standing.GONE:
                return [DeclareLost(claim, LossReason.GOODBYE) for claim in claims]
            case _Standing.ALIVE:
                return [
                    DeclareLost(claim, LossReason.NOT_HELD)
                    for claim in claims
                    if self._is_let_go(known, claim)
                ]

    def _is_let_go(self, known: _Executor, claim: OpenClaim) -> bool:
        """Whether a heartbeat that must list the claim does not.

        The lease between the two covers a heartbeat written before the claim and appended after it.
        """
        listable = known.heard_ms - claim.claimed_ms > self._lease_ms
        return listable and known.held is not None and claim.dispatch not in known.held

    def forget(self, now_ms: int, claims: OpenClaims) -> None:
        """Drop executors that ended long ago and have no open claims; bounds the memory."""
        busy = set(claims.executors())
        self._executors = {
            executor: known
            for executor, known in self._executors.items()
            if known.standing is _Standing.ALIVE or executor in busy or now_ms - known.heard_ms < FORGET_MS
        }
