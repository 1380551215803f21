"""The other processes of the walk: gates and wheel, prioritizer, materializer."""

from dataclasses import dataclass, field
from random import Random

from typing_extensions import override

from core.gates.id_gate import IdGate
from core.ledger.verdicts import Preempted
from core.log import NewRecord, Record
from core.rows import merge
from core.rows_patch import patches
from core.rows_table import Table, empty_table
from core.wheel import TIERS, leaves_at_ms
from schemas.accepted_job import FailedAttempt
from schemas.codec import decode_accepted, job_record, ledger_record
from schemas.ledger import FoldedEvent
from schemas.standing_orders import StandingOrders
from services.prioritizer.hand_over import HandOver
from services.scheduler.admit import Admitter
from services.scheduler.decide import depart
from tests.model.executor import EPOCH, ROUTES, ModelFolds, ModelMember
from tests.model.laws import Rules, Sink
from tests.model.process import Group, Log, NoMeter, Process
from tests.support.outcomes import unheard
from tests.support.scoring import rule_alone, standard_law

KEY_WINDOW_MS = 86_400_000


class ModelAdmitter(Admitter):
    """The real step with the gate of the walk."""

    kind: type[IdGate] = IdGate

    @override
    def gate(self, partition: int) -> IdGate:
        gate = self._gates.get(partition)
        if gate is None:
            gate = self._gates[partition] = self.kind(self._epoch, self._window_ms)
        return gate


class Stage(Process):
    """A process that reads a few records, appends what follows, and only then commits."""

    def __init__(self, log: Log, group: Group, number: int) -> None:
        super().__init__(log)
        self.member = ModelMember(group, number)
        self._group = group
        self._positions: dict[str, int] = {}

    def step(self, random: Random) -> None:
        draw = random.random()
        if draw < 0.2:
            self.land(random)
        elif draw < 0.4:
            self.go_on(random)
        else:
            self.work(random, random.randint(1, 3))
            if draw > 0.7:
                self.settle(random)

    def turn(self, random: Random) -> None:
        """Do everything once, as a process that nothing holds up."""
        for _ in range(3):
            self.settle(random)
            self.work(random, 1000)
        self.settle(random)

    def work(self, random: Random, count: int) -> None:
        """Begin one batch, unless one is under way or nothing is owned."""
        if self.is_busy("work"):
            return
        if self.member.look():
            self._positions = dict(self._group.committed)
        if self.member.owns:
            self.spawn("work", self._work(random, count, self.member.assignment.number))

    async def _work(self, random: Random, count: int, assignment: int) -> None:
        outputs, ends = self.decide(random, count)
        await self.append(outputs)
        self._group.commit(self.member.number, assignment, ends)

    def decide(self, random: Random, count: int) -> tuple[list[NewRecord], dict[str, int]]:
        """Give what follows from the next records, and the positions after them."""
        # Each stage has its own.
        raise NotImplementedError

    def take(self, topic: str, count: int) -> list[Record]:
        start = self._positions.get(topic, 0)
        records = self.log.read(topic, start, count)
        self._positions[topic] = start + len(records)
        return records


class ModelScheduler(Stage):
    """Gates and wheel."""

    def __init__(self, log: Log, group: Group, number: int, rules: Rules) -> None:
        super().__init__(log, group, number)
        admitter = type("RuledAdmitter", (ModelAdmitter,), {"kind": rules.gate})
        self._admitter: ModelAdmitter = admitter(ROUTES, NoMeter(), lambda: log.now_ms, EPOCH, KEY_WINDOW_MS)

    @override
    def decide(self, random: Random, count: int) -> tuple[list[NewRecord], dict[str, int]]:
        committed = self._group.committed.get(ROUTES.gates, 0)
        # A gate that is restored is read from its start, and acted on from the committed offset.
        self._positions[ROUTES.gates] = self._admitter.gate(0).next_offset
        entered = self.take(ROUTES.gates, count)
        outputs = self._admitter.admit(entered, lambda _: committed)
        for tier in range(TIERS):
            outputs.extend(
                depart(ROUTES, record, self.log.now_ms).record for record in self._due(tier, count)
            )
        return outputs, dict(self._positions)

    def _due(self, tier: int, count: int) -> list[Record]:
        topic = ROUTES.delay(tier)
        start = self._positions.get(topic, 0)
        due: list[Record] = []
        for record in self.log.read(topic, start, count):
            if leaves_at_ms(tier, record.timestamp_ms) > self.log.now_ms:
                break
            due.append(record)
        self._positions[topic] = start + len(due)
        return due


class ModelPrioritizer(Stage):
    """The real hand-over, and now and then a diversion instead of it."""

    def __init__(self, log: Log, group: Group, number: int) -> None:
        super().__init__(log, group, number)
        self._hand_over = HandOver(
            ROUTES,
            self,
            NoMeter(),
            lambda: log.now_ms,
            rule_alone(NoMeter()),
            standard_law,
            StandingOrders(),
            unheard(ROUTES),
        )
        self.p_divert = 0.1

    @override
    async def _work(self, random: Random, count: int, assignment: int) -> None:
        records = self.take(ROUTES.ready, count)
        diverted = [record for record in records if random.random() < self.p_divert]
        passed = [record for record in records if record not in diverted]
        for record in diverted:
            await self._divert(record)
        if passed:
            await self._hand_over.work(passed)
        self._group.commit(self.member.number, assignment, dict(self._positions))

    async def _divert(self, record: Record) -> None:
        job = decode_accepted(record)
        held_back = FailedAttempt(job, "", "transient", "Preempted", "predicted to fail", self.log.now_ms)
        place = (await self.append([job_record(ROUTES.dlq, 0, held_back, job, b"PREEMPTED")]))[0]
        await self.append(
            [ledger_record(ROUTES, Preempted(job.origin, job.job_id, job.n, 0.97, place.offset))]
        )


@dataclass
class Database:
    """Rows and the ledger position they belong to; what a transaction changes at once."""

    position: int = 0
    table: Table = field(default_factory=empty_table)


def gather_by(rules: Rules, table: Table, events: list[FoldedEvent]) -> None:
    """Do as ``core.rows_table.gather``, with the merge groups of the walk."""
    for event in events:
        said = patches(event)
        if said is None:
            continue
        job_id = event.event.job_id
        if said.job is not None:
            merge(table.jobs.setdefault(job_id, {}), said.job, rules.groups)
        if said.attempt is not None:
            merge(table.attempts.setdefault((job_id, said.n), {}), said.attempt, rules.attempt_groups)


class ModelMaterializer(Process):
    """Writes rows, and the position they belong to, in transactions that may be slow."""

    def __init__(self, log: Log, database: Database, rules: Rules) -> None:
        super().__init__(log)
        self._database = database
        self._rules = rules
        self._folds = ModelFolds(rules, with_notes=True)
        self._under_way: tuple[int, list[FoldedEvent]] | None = None
        """The position of the table when the transaction began, and what it read."""

    def step(self, random: Random) -> None:
        if random.random() < 0.5:
            self.read(random.randint(1, 4))
        else:
            self.write()

    def turn(self, random: Random) -> None:
        """Do everything once."""
        self.write()
        self.read(1000)
        self.write()

    def read(self, count: int) -> None:
        """Fold the next records and open a transaction for them."""
        if self._under_way is None:
            start = self._folds.next_offset(0)
            events = self._folds.take(self.log.read(ROUTES.ledger, start, count))
            self._under_way = (self._database.position, events)

    def write(self) -> None:
        """Commit the transaction, if the table still is where this process believes it to be."""
        if self._under_way is None:
            return
        expected, events = self._under_way
        self._under_way = None
        position = self._database.position
        end = self._folds.next_offset(0)
        match self._rules.sink:
            case Sink.COMPARE_AND_SET:
                new = [event for event in events if event.offset >= position]
                if end <= position:
                    return
            case Sink.OVERWRITE:
                new = [event for event in events if event.offset >= expected]
        gather_by(self._rules, self._database.table, new)
        self._database.position = end
