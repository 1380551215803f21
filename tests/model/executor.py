"""An executor of the walk: the service's own steps over the simulated log and worker."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple, cast

from typing_extensions import override

from core.lease import margin_s
from core.ledger.fold import LedgerFold
from core.ledger.snapshot import fold_from
from core.log import TopicPartition
from ports.log import Assignment, Batch
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap
from services.executor.context import ExecutorContext
from services.executor.fetch import Fetcher
from services.executor.follow import claims_of, stops_of
from services.executor.held import Held, Stage
from services.executor.leased import Leased
from services.executor.parents import ParentResultsReader, Parents
from services.executor.report import Reporter
from services.executor.workers.pool import WorkerPool
from tests.model.laws import Boot, Lapse, Rules, Start
from tests.model.pool import SLOTS, ModelPool, RunWatch
from tests.model.process import Group, Log, NoMeter, Process
from tests.model.thief import ModelLanes, begin, model_thief, read_on
from tests.support.outcomes import unheard
from tests.support.scoring import standard_law

EPOCH = "e0"
ROUTES = RouteMap(partitions=1)
CHILDLESS = Parents(cast("ParentResultsReader", None), lambda: None)
LEASE_S = 6.0
HEARTBEAT_S = 0.5
PARTITIONS = frozenset({0})


class Snapshot(NamedTuple):
    """A fold of the ledger as bytes."""

    next_offset: int
    chunks: list[bytes]


class ModelFolds(LedgerFolds):
    """Folds by the rules of the walk."""

    def __init__(self, rules: Rules, *, with_notes: bool = False) -> None:
        super().__init__(EPOCH, with_notes=with_notes)
        self._kind = rules.fold

    def restore(self, shelf: list[Snapshot], at_most: int) -> bool:
        """Begin at the newest snapshot up to that offset; those of other rules cannot be used."""
        usable = [snapshot for snapshot in shelf if snapshot.next_offset <= at_most]
        if not usable or self._kind is not LedgerFold:
            return False
        newest = max(usable, key=lambda snapshot: snapshot.next_offset)
        return self.adopt(0, fold_from(newest.chunks))

    @override
    def fold(self, partition: int) -> LedgerFold:
        fold = self._folds.get(partition)
        if fold is None:
            fold = self._folds[partition] = self._kind(EPOCH)
        return fold


class ModelMember:
    """A group member as steps see it; it learns of a rebalance when it looks."""

    def __init__(self, group: Group, number: int) -> None:
        self._group = group
        self.number = number
        self.assignment = Assignment(0, frozenset())

    @property
    def owns(self) -> bool:
        return bool(self.assignment.partitions)

    def look(self) -> bool:
        """Take in the current assignment; whether it is a new one."""
        group = self._group
        if group.generation == self.assignment.number:
            return False
        before = self.assignment
        owned = PARTITIONS if group.owner == self.number else frozenset[int]()
        # Kept as far as this member saw: another may have owned it in between.
        kept = owned & before.partitions
        since = {p: before.held_since[p] if p in kept else group.generation for p in owned}
        self.assignment = Assignment(group.generation, owned, since)
        return True

    async def poll(self, timeout_s: float, max_records: int = 0) -> Batch:
        # The walk hands records to the fetcher itself.
        raise NotImplementedError

    def pause(self, partitions: Sequence[TopicPartition]) -> None: ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    def committed(self, partition: TopicPartition) -> int:
        return self._group.committed.get(partition.topic, 0)

    async def commit(self, assignment: int, positions: Mapping[TopicPartition, int]) -> bool:
        moved = {place.topic: offset for place, offset in positions.items()}
        return self._group.commit(self.number, assignment, moved)

    async def close(self) -> None: ...


class ModelLeased(Leased):
    """The real lease, with names the walk can repeat and the ablations of its rules."""

    rules = Rules()

    @override
    def _new_boot_id(self) -> str:
        name = self._context.instance
        if self.rules.boot is Boot.STABLE_NAME:
            return name.split(".")[0]
        self._boots = getattr(self, "_boots", 0) + 1
        return f"{name}.{self._boots}"


class ModelExecutor(Process):
    """One executor process."""

    def __init__(
        self, log: Log, watch: RunWatch, group: Group, number: int, life: int, random: Random, rules: Rules
    ) -> None:
        super().__init__(log)
        self._watch = watch
        self._rules = rules
        self._group = group
        self.pool = ModelPool(watch, rules.watchdog, random)
        self.held = Held()
        self.folds = ModelFolds(rules)
        self.member = ModelMember(group, number)
        workers = cast("WorkerPool", self.pool)
        name, clocks = f"x{number}.{life}", (lambda: log.now_ms, lambda: log.now_ms / 1000)
        context = ExecutorContext(ROUTES, self, NoMeter(), "default", name, "1", *clocks, unheard(ROUTES))
        leased = type("RuledLeased", (ModelLeased,), {"rules": rules})
        self.leased: ModelLeased = leased(
            context,
            self.held,
            slots=SLOTS,
            lease_s=LEASE_S,
            heartbeat_s=HEARTBEAT_S,
            types=tuple,
            renew=self.pool.renew_lease,
            lapsed=self._lapsed,
        )
        self._new_lease()
        self.fetcher = Fetcher(self.member, context, law=lambda: standard_law(""), lane_buffer=500)
        self._claimer = rules.claimer(
            context, self.folds, self.fetcher, self.held, self.leased, workers, self._may_claim_on
        )
        self.foreign = Fetcher(ModelLanes(), context, law=lambda: standard_law(""), lane_buffer=500)
        self.thief = self._claimer.stolen = model_thief(
            context, self.foreign, self.held, lambda: self.member.assignment.partitions
        )
        self._starter = rules.starter(
            *(context, self.folds, self.held, self.leased, workers), self._known_end, CHILDLESS
        )
        self._closer = rules.closer(
            context, self.held, self.leased, workers, Reporter(context, self.held, workers)
        )
        self._positions: dict[str, int] = {}
        self._foreign_positions: dict[str, int] = {}
        self._fetched = 0
        self._target = log.end(ROUTES.ledger)
        self.known_at_read_back: dict[str, int] = {}
        self.is_paused = False
        self.is_deaf = False
        self.is_mute = False
        """Its fetches of the ledger stall; others do not, for partitions stand on different brokers."""
        self.is_draining = False
        self.is_over = False

    def _new_lease(self) -> None:
        self.leased._lease = self._rules.lease(LEASE_S)
        self.pool.boot_id = self.leased.boot_id

    def _lease_left_s(self) -> float:
        """Give the seconds left of the lease by the rule as it is, whatever rules the walk has."""
        confirmed_at_s = self.leased._lease.confirmed_at_s
        if confirmed_at_s is None:
            return 0.0
        return confirmed_at_s + LEASE_S - margin_s(LEASE_S) - self.log.now_ms / 1000

    async def _lapsed(self) -> None:
        await self.pool.kill_all()
        self.held.drop_all()

    def _known_end(self, _partition: int) -> int:
        return self._rules.known_end(self._fetched)

    def _may_claim_on(self, _partition: int) -> bool:
        return self._follows and self.folds.next_offset(0) >= self._target

    @property
    def _follows(self) -> bool:
        """Whether it reads the ledger: of what it owns, holds something of, or steals from."""
        return self.member.owns or bool(self.held.partitions() or self.thief.partitions)

    def step(self, random: Random) -> None:
        """Do one thing some task of the process, its worker or the network could do next."""
        doable: list[Callable[[], object]] = []
        if any(self.lanes.values()):
            doable.extend([lambda: self.land(random)] * 3)
        doable.extend(self.pool.doable(random))
        if not self.is_paused:
            if random.random() < 0.15:
                # The task that watches the lease sleeps most of the time.
                self.watch_lease()
            doable.extend(self._acts(random))
        if doable:
            random.choice(doable)()

    def _acts(self, random: Random) -> list[Callable[[], object]]:
        acts: list[Callable[[], object]] = [self.commit]
        if self._has_news():
            acts.extend([lambda: self.fetch(random.randint(1, 3))] * 2)
        if any(task.landing.is_done for task in self.tasks):
            acts.extend([lambda: self.go_on(random)] * 3)
        if not self.is_deaf and self.folds.next_offset(0) < self.log.end(ROUTES.ledger):
            acts.extend([lambda: self.follow(random, most=random.choice((3, 3, 1000)))] * 3)
        if not self.member.owns:
            acts.append(lambda: self.steal(random))
        if len(self.fetcher) + len(self.foreign) and self.leased.may_claim and not self.is_busy("claim"):
            acts.extend([self.claim] * 2)
        if self.pool.has_outcomes:
            acts.append(self.close)
        if not (self.is_busy("beat") or self.is_mute):
            acts.append(self.beat)
        return acts

    def _has_news(self) -> bool:
        if self._group.generation != self.member.assignment.number:
            return True
        return self.member.owns and any(
            self._positions.get(topic, 0) < self.log.end(topic) for topic in ROUTES.executions("default")
        )

    def turn(self, random: Random) -> None:
        """Do everything once, as a process that nothing holds up."""
        self.watch_lease()
        self.beat()
        self.settle(random)
        for _ in range(3):
            self.follow(random, most=1000)
            self.settle(random)
            self.fetch(100)
            self.claim()
            self.settle(random)
        self.close()
        self.settle(random)
        self.commit()

    def keep_lease(self, random: Random) -> None:
        """Beat and hear that it landed, as a process does that nothing holds up."""
        if self.is_mute:
            return
        self.watch_lease()
        self.beat()
        if lane := self.lanes.get(ROUTES.executors):
            while lane:
                landing, index = lane.popleft()
                landing.places[index] = self.log.append(landing.records[index])
        while any(task.name == "beat" and task.landing.is_done for task in self.tasks):
            self.go_on(random)

    def watch_lease(self) -> None:
        """Drop everything once the lease has lapsed."""
        if self._rules.lapse is Lapse.REVIVED or self.is_busy("lapse"):
            return
        if not self.leased.holds and self.leased._lease.lapsed:
            self.spawn("lapse", self.leased._lapse())
            self._new_lease()

    def beat(self) -> None:
        if not self.is_busy("beat") and not self.is_over:
            self.spawn("beat", self.leased._send(goodbye=False))

    def follow(self, random: Random, most: int) -> None:
        """Read some of what was fetched of the ledger, and fetch again only when nothing is left."""
        if not self._follows:
            return
        start = self.folds.next_offset(0)
        if self._fetched <= start or random.random() < 0.5:
            self._fetched = self.log.end(ROUTES.ledger)
        count = min(random.randint(1, most), self._fetched - start)
        self._take(self.folds.take(self.log.read(ROUTES.ledger, start, count)))

    def _take(self, events: list[FoldedEvent]) -> None:
        boot_id = self.leased.boot_id
        claims = claims_of(events, boot_id)
        for claim in claims:
            if claim.holds:
                self.known_at_read_back.setdefault(claim.key, self._fetched)
        if self._rules.start is Start.READ_BACK:
            self._starter.read_back(claims)
        before = self.pool.submitted
        refused = self._starter.start_ready()
        if self.pool.submitted > before:
            self._watch.submitted(boot_id, self._lease_left_s())
        if refused:
            self.spawn("hand back", self._starter.hand_back(refused, "too old"))
        for key, _ in stops_of(events, boot_id):
            held = self.held.get(key)
            if held is not None and held.stage is Stage.RUNNING and not held.cancel_sent:
                held.cancel_sent = True
                self.pool.cancel(key)

    def fetch(self, count: int) -> None:
        if self.is_draining:
            return
        before = self.fetcher.assignment
        if self.member.look():
            self.fetcher._follow_assignment()
            if not self.member.assignment.kept_since(before):
                self._positions = {}
            self._target = self.log.end(ROUTES.ledger)
        if not self.member.owns:
            return
        for topic in ROUTES.executions("default"):
            start = max(self._positions.get(topic, 0), self.member.committed(TopicPartition(topic, 0)))
            records = self.log.read(topic, start, count)
            self.fetcher._offer(records)
            self._positions[topic] = start + len(records)

    def steal(self, random: Random) -> None:
        """Look how far the group has come and read on from there, or let go, or read a little more."""
        if self.is_draining:
            return
        if not self.thief.partitions or random.random() < 0.1:
            if not self._follows:
                self._target = self.log.end(ROUTES.ledger)
            begin(self.thief, self.foreign, PARTITIONS)
            self._foreign_positions = dict(self._group.committed)
        elif random.random() < 0.1:
            begin(self.thief, self.foreign, frozenset())
        if self.thief.partitions:
            topics = ROUTES.executions("default")
            read_on(topics, self.log, self.thief, self.foreign, self._foreign_positions, random)
        self._claimer.shed()

    def claim(self) -> None:
        if self.is_draining or self.is_busy("claim"):
            return
        self.spawn("claim", self._claim_once())

    async def _claim_once(self) -> None:
        await self._claimer._claim_once()
        if self._rules.start is Start.ACKNOWLEDGED and not self.is_draining:
            claiming = [held for held in self.held.all() if held.stage is Stage.CLAIMING]
            self.pool.submit([self._starter._start(held) for held in claiming[: self.pool.free_slots]])

    def close(self) -> None:
        if outcomes := self.pool.take_outcomes():
            self.spawn("close", self._closer._close(outcomes))

    def commit(self) -> None:
        """Commit as ``Fetcher._commit`` does, without its clock."""
        trackers = self.fetcher._trackers
        positions = {place: tracker.position for place, tracker in trackers.items()}
        known = {place.topic: offset for place, offset in positions.items() if offset is not None}
        self._group.commit(self.member.number, self.fetcher.assignment, known)

    def forget_a_claim(self) -> None:
        """Lose sight of a claim under way, as after a failed append that landed all the same."""
        for held in self.held.all():
            if held.stage is Stage.CLAIMING:
                self.held.remove(held.key)
                return

    def start_to_drain(self) -> None:
        """Begin what ``Executor._hand_back_all`` does, with no time of grace."""
        if not self.is_draining:
            self.is_draining = self.leased.draining = True
            self.pool.stop()

    def drain_on(self) -> None:
        """Go on with the drain as far as it can go now."""
        if not self.is_draining or self.is_over or self.is_busy("close"):
            return
        self.close()
        if not self.is_busy("close"):
            claiming = [held for held in self.held.all() if held.stage is Stage.CLAIMING]
            if claiming:
                self.spawn("close", self._starter.hand_back(claiming, "executor stops"))
            elif not self.is_busy("beat"):
                self.is_over = True
                self.spawn("goodbye", self.leased.say_goodbye())
