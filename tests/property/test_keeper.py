"""Two keepers and two executors over one log, every interleaving and delay hypothesis can think of."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.keeper import Keeper, LossReason, OpenClaims
from core.ledger.verdicts import Claimed

LEASE_MS = 1000
MARGIN_MS = 100
PARTITION = 0
executors = st.integers(0, 1)
keepers = st.integers(0, 1)


@dataclass
class Beat:
    executor: str
    seq: int
    held: frozenset[str]
    sent_ms: int
    goodbye: bool = False


@dataclass
class Ask:
    executor: str
    seq: int


@dataclass
class ModelExecutor:
    """Obeys the law: runs nothing once its own clock says that the lease is over."""

    name: str
    seq: int = 0
    held: set[str] = field(default_factory=set)
    confirmed_ms: int | None = None
    ended: bool = False

    def lives(self, now_ms: int) -> bool:
        if self.confirmed_ms is not None and now_ms >= self.confirmed_ms + LEASE_MS - MARGIN_MS:
            self.ended = True
        return not self.ended


@dataclass
class ModelKeeper:
    keeper: Keeper = field(default_factory=lambda: Keeper(LEASE_MS))
    claims: OpenClaims = field(default_factory=OpenClaims)
    read: int = 0
    ledger_read: int = 0


class Keeping(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 10_000
        self.log: list[tuple[int, Beat | Ask]] = []
        self.under_way: list[Beat | Ask] = []
        self.ledger: list[tuple[int, str, str, str]] = []
        self.closed: set[str] = set()
        self.boots = 0
        self.jobs = 0
        self.executors = [self.boot(), self.boot()]
        self.keepers = [ModelKeeper(), ModelKeeper()]
        for index in range(2):
            self.executor_beats_and_claims(index)

    def boot(self) -> ModelExecutor:
        self.boots += 1
        return ModelExecutor(f"boot-{self.boots}")

    def running(self, executor: str, dispatch: str) -> bool:
        return any(
            model.name == executor and model.lives(self.now_ms) and dispatch in model.held
            for model in self.executors
        )

    @rule(ms=st.sampled_from([1, 100, 300, 300, 800, 899, 1000, 5000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(index=executors)
    def executor_beats_and_claims(self, index: int) -> None:
        beat = self.send(index)
        while beat in self.under_way:
            self.append(beat)
        self.dispatch_is_claimed(index)

    @rule(index=executors)
    def executor_lives_on(self, index: int) -> None:
        for _ in range(5):
            self.now_ms += 300
            beat = self.send(index)
            while beat in self.under_way:
                self.append(beat)

    @rule(index=executors)
    def claim_overtakes_a_heartbeat(self, index: int) -> None:
        beat = self.send(index)
        self.dispatch_is_claimed(index)
        self.now_ms += 1
        while beat in self.under_way:
            self.append(beat)

    @rule(index=executors, goodbye=st.sampled_from([False, False, False, True]))
    def heartbeat_is_sent(self, index: int, goodbye: bool) -> None:
        self.send(index, goodbye=goodbye)

    def send(self, index: int, *, goodbye: bool = False) -> Beat:
        model = self.executors[index]
        if not model.lives(self.now_ms):
            self.executors[index] = model = self.boot()
        model.seq += 1
        if goodbye:
            model.held.clear()
            model.ended = True
        beat = Beat(model.name, model.seq, frozenset(model.held), self.now_ms, goodbye)
        self.under_way.append(beat)
        return beat

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def something_under_way_is_appended(self, data: st.DataObject) -> None:
        self.append(self.under_way[data.draw(st.sampled_from(range(len(self.under_way))))])

    def append(self, record: Beat | Ask) -> None:
        if isinstance(record, Beat):
            # A producer keeps the order of its own records, not that of others.
            record = next(
                other
                for other in self.under_way
                if isinstance(other, Beat) and other.executor == record.executor
            )
        self.under_way.remove(record)
        self.log.append((self.now_ms, record))
        for model in self.executors:
            if isinstance(record, Beat) and model.name == record.executor and model.lives(self.now_ms):
                model.confirmed_ms = record.sent_ms
                model.lives(self.now_ms)

    @rule(index=executors)
    def dispatch_is_claimed(self, index: int) -> None:
        model = self.executors[index]
        if model.lives(self.now_ms) and model.confirmed_ms is not None:
            self.jobs += 1
            origin = f"e:0:{self.jobs}"
            model.held.add(f"{origin}/1")
            self.ledger.append((self.now_ms, "claim", origin, model.name))

    @rule(index=executors, close=st.booleans())
    def dispatch_ends_or_is_forgotten(self, index: int, close: bool) -> None:
        model = self.executors[index]
        if model.lives(self.now_ms) and model.held:
            dispatch = min(model.held)
            model.held.discard(dispatch)
            if close:
                origin = dispatch.removesuffix("/1")
                self.closed.add(origin)
                self.ledger.append((self.now_ms, "close", origin, model.name))

    @rule(index=keepers, count=st.sampled_from([1, 2, 1000]))
    def keeper_reads(self, index: int, count: int) -> None:
        model = self.keepers[index]
        for at_ms, record in self.log[model.read : model.read + count]:
            model.read += 1
            if isinstance(record, Beat):
                model.keeper.heartbeat(
                    at_ms, record.executor, record.seq, record.held, goodbye=record.goodbye
                )
            else:
                model.keeper.probe(at_ms, record.executor, record.seq)

    @rule(index=keepers, ahead_ms=st.sampled_from([0, 0, 0, 200]))
    def keeper_takes_a_turn(self, index: int, ahead_ms: int) -> None:
        self.keeper_reads(index, 1000)
        self.keeper_asks(index, ahead_ms)
        while asked := [record for record in self.under_way if isinstance(record, Ask)]:
            self.append(asked[0])
        self.keeper_reads(index, 1000)
        self.keeper_declares(index)

    @rule(index=keepers)
    def keeper_restarts(self, index: int) -> None:
        self.keepers[index] = ModelKeeper()

    @rule(index=keepers, ahead_ms=st.sampled_from([0, 0, 200, -500]))
    def keeper_asks(self, index: int, ahead_ms: int) -> None:
        # A clock that is ahead breaks the law of the broker clock; the log must settle that too.
        model = self.keepers[index]
        self.fold_to_the_end(model)
        probes = model.keeper.probes_due(self.now_ms + ahead_ms, model.claims, {PARTITION})
        self.under_way.extend(Ask(probe.executor, probe.seq) for probe in probes)

    @rule(index=keepers)
    def keeper_declares(self, index: int) -> None:
        model = self.keepers[index]
        self.fold_to_the_end(model)
        for loss in model.keeper.losses(model.claims, {PARTITION}):
            claim = loss.claim
            assert claim.origin not in self.closed
            assert not self.running(claim.executor, claim.dispatch), loss
            if loss.reason is LossReason.LEASE_LAPSED:
                assert self.has_proof(model.read, claim.executor)
            if claim.partition == PARTITION and self.now_ms % 2:
                self.closed.add(claim.origin)
                self.ledger.append((self.now_ms, "close", claim.origin, claim.executor))

    def fold_to_the_end(self, model: ModelKeeper) -> None:
        for at_ms, what, origin, executor in self.ledger[model.ledger_read :]:
            if what == "claim":
                model.claims.opened(PARTITION, at_ms, Claimed(origin, "job", 1, executor, "x", 0, 0))
            else:
                model.claims.closed(origin, executor)
        model.ledger_read = len(self.ledger)

    def has_proof(self, end: int, executor: str) -> bool:
        """Look for a probe with no heartbeat of that executor in the lease before it."""
        for index, (asked_ms, record) in enumerate(self.log[:end]):
            if isinstance(record, Ask) and record.executor == executor:
                before = [
                    at_ms
                    for at_ms, other in self.log[:index]
                    if isinstance(other, Beat) and other.executor == executor
                ]
                if all(asked_ms - at_ms >= LEASE_MS for at_ms in before):
                    return True
        return False

    @invariant()
    def keepers_that_read_the_same_agree(self) -> None:
        one, other = self.keepers
        if one.read == other.read:
            for number in range(1, self.boots + 1):
                name = f"boot-{number}"
                assert one.keeper.has_lapsed(name) == other.keeper.has_lapsed(name)


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
