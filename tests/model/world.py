"""The world of a walk: two of everything, the log between them, and time."""

from collections import deque
from collections.abc import Callable
from random import Random

import msgspec

from core.log import NewRecord
from penstock.identity import Origin as OriginOf
from penstock.identity import job_id_from_key, job_id_from_origin
from schemas.acceptance import accepted_note
from schemas.accepted_job import AcceptedJob
from schemas.codec import job_record, ledger_record
from schemas.routing import ready_record
from tests.model.executor import EPOCH, ROUTES, ModelExecutor, Snapshot
from tests.model.handler import ModelHandler
from tests.model.janitor import Janitor
from tests.model.laws import Rules
from tests.model.oracle import Oracle, Rule, Violation
from tests.model.process import Group, Log, TrimmedError
from tests.model.stages import Database, ModelMaterializer, ModelPrioritizer, ModelScheduler

LATE_MS = 20_000
"""How much later a record of a dead process may land."""


def make_jobs(log: Log) -> list[AcceptedJob]:
    """Give a plain job, one that expires, one with a due time, and two records of one key."""
    shared = job_id_from_key("t", "key")
    jobs: list[AcceptedJob] = []
    for offset in range(5):
        origin = OriginOf(EPOCH, 0, offset)
        keyed = offset >= 3
        jobs.append(
            AcceptedJob(
                str(origin),
                shared if keyed else job_id_from_origin(origin, log.now_ms),
                "type",
                "t",
                "default",
                msgspec.Raw(b"{}"),
                5,
                log.now_ms + offset,
                30.0,
                3,
                "00" * 8,
                "00" * 16,
                idempotency_key="key" if keyed else None,
                expires_at_ms=log.now_ms + 6000 if offset == 1 else None,
                run_at_ms=log.now_ms + 1500 if offset == 2 else None,
            )
        )
    return jobs


class World:
    """Everything of one walk."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self.random = Random(seed)
        self.rules = rules
        self.log = Log()
        self.oracle = Oracle()
        self.log.landed = self.oracle.landed
        self.groups = {name: Group() for name in ("executor", "handler", "scheduler", "prioritizer")}
        self.database = Database()
        self.snapshots: list[Snapshot] = []
        self.lives = 0
        self.ghosts: list[tuple[int, deque[NewRecord]]] = []
        """What dead processes had sent, and the time before which it does not land."""
        self.orphans: dict[str, str] = {}
        self.redrives: dict[str, int] = {}
        self.jobs = make_jobs(self.log)
        self.executors = [self.new_executor(number) for number in range(2)]
        self.handlers = [self.new_handler(number) for number in range(2)]
        self.scheduler = self.new_scheduler()
        self.prioritizer = self.new_prioritizer()
        self.materializers = [self.new_materializer() for _ in range(2)]
        self.janitor = Janitor(self.log, self.groups, rules.trim)
        self.workers = self._workers()
        self.events = self._events()

    @property
    def now_s(self) -> float:
        return self.log.now_ms / 1000

    def submitted(self, boot_id: str, lease_left_s: float) -> None:
        if lease_left_s <= 0:
            raise Violation(Rule.UNLEASED, f"{boot_id}, {-lease_left_s:.2f} s after its lease")

    def began(self, boot_id: str, key: str) -> None:
        origin = key.rpartition("/")[0]
        job = next(job for job in self.jobs if job.origin == origin)
        executor = next(one for one in self.executors if one.pool.boot_id == boot_id)
        known_end = executor.known_at_read_back.get(key, 1 << 60)
        self.oracle.began_run(boot_id, key, job.job_id, known_end, self.log.now_ms)

    def ended(self, key: str, *, task_failed: bool) -> None:
        self.oracle.ended_run(key, task_failed=task_failed)

    def new_executor(self, number: int) -> ModelExecutor:
        self.lives += 1
        group = self.groups["executor"]
        executor = ModelExecutor(self.log, self, group, number, self.lives, self.random, self.rules)
        if self.random.random() < 0.7:
            executor.folds.restore(self.snapshots, self.log.end(ROUTES.ledger))
        return executor

    def new_handler(self, number: int) -> ModelHandler:
        handler = ModelHandler(self.log, self.groups["handler"], number, self.random, self.rules)
        if self.random.random() < 0.7:
            handler.restore(self.snapshots)
        return handler

    def new_scheduler(self) -> ModelScheduler:
        return ModelScheduler(self.log, self.groups["scheduler"], 0, self.rules)

    def new_prioritizer(self) -> ModelPrioritizer:
        return ModelPrioritizer(self.log, self.groups["prioritizer"], 0)

    def new_materializer(self) -> ModelMaterializer:
        return ModelMaterializer(self.log, self.database, self.rules)

    def _workers(self) -> list[Callable[[], None]]:
        """Give what goes on all the time, as often as it shall."""
        weighted: list[tuple[int, Callable[[], None]]] = [
            (30, lambda: self.executors[0].step(self.random)),
            (30, lambda: self.executors[1].step(self.random)),
            (14, lambda: self.handle(0, lambda handler: handler.step(self.random))),
            (14, lambda: self.handle(1, lambda handler: handler.step(self.random))),
            (8, lambda: self.janitor.step(self.random.choice(self.handlers))),
            (6, lambda: self.scheduler.step(self.random)),
            (6, lambda: self.prioritizer.step(self.random)),
            (2, lambda: self.random.choice(self.materializers).step(self.random)),
            (2, self.desk_goes_on),
            (1, self.somebody_takes_a_snapshot),
        ]
        return [actor for weight, actor in weighted for _ in range(weight)]

    def _events(self) -> list[Callable[[], None]]:
        """Give what happens to them."""
        weighted: list[tuple[int, Callable[[], None]]] = [
            (9, self.time_passes),
            (2, self.a_ghost_lands),
            (1, self.ingest_hands_over),
        ]
        return [actor for weight, actor in weighted for _ in range(weight)]

    def time_passes(self) -> None:
        """Move the clock, now and then far, with or without heartbeats meanwhile."""
        for _ in range(self.random.choice((1, 1, 1, 2, 8))):
            self.pass_ms(self.random.choice((1, 50, 200, 400)))

    def pass_ms(self, passed_ms: int) -> None:
        self.log.now_ms += passed_ms
        owner = self.executors[self.groups["executor"].owner]
        if owner.is_paused and self.random.random() < 0.3:
            # The broker has not heard of this member for a session timeout.
            self.groups["executor"].rebalance(2)
        for executor in self.executors:
            executor.pool.tick()
            if self.random.random() < 0.95 and not executor.is_paused:
                executor.keep_lease(self.random)

    def handle(self, number: int, act: Callable[[ModelHandler], None]) -> None:
        """Let a handler act; one that lost the partition unawares and finds records trimmed begins anew."""
        handler = self.handlers[number]
        try:
            act(handler)
        except TrimmedError:
            if not handler.is_zombie:
                raise
            self.bury(handler.die())
            self.handlers[number] = self.new_handler(number)

    def somebody_takes_a_snapshot(self) -> None:
        """Let a handler, a zombie too, put one on the shelf."""
        handler = self.random.choice(self.handlers)
        if not handler.is_paused:
            self.take_snapshot(handler)

    def take_snapshot(self, handler: ModelHandler) -> None:
        if (snapshot := handler.snapshot()) is not None:
            self.snapshots.append(snapshot)

    def a_ghost_lands(self) -> None:
        """Let a record land whose sender is dead."""
        ready = [ghost for ghost in self.ghosts if ghost[0] <= self.log.now_ms]
        if ready:
            ghost = self.random.choice(ready)
            self.log.append(ghost[1].popleft())
            if not ghost[1]:
                self.ghosts.remove(ghost)

    def ingest_hands_over(self) -> None:
        """Hand a job on, as often as it happens."""
        self.ingest(self.random.choice(self.jobs))

    def ingest(self, job: AcceptedJob) -> None:
        if job.idempotency_key is None and job.run_at_ms is None and job.expires_at_ms is None:
            self.log.append(ledger_record(ROUTES, accepted_note(job)))
            self.log.append(ready_record(ROUTES, job))
        else:
            self.log.append(job_record(ROUTES.gates, 0, job, job, b"GATED"))

    def desk_goes_on(self) -> None:
        """Hand on what a redrive that holds has opened again."""
        for origin, n in list(self.redrives.items()):
            if f"{origin}/{n}" in self.oracle.allowed:
                del self.redrives[origin]
                job = next(job for job in self.jobs if job.origin == origin)
                self.log.append(ready_record(ROUTES, msgspec.structs.replace(job, n=n)))

    def crash(self, number: int) -> None:
        executor = self.executors[number]
        self.orphans |= executor.pool.parent_died()
        self.bury(executor.die())
        self.executors[number] = executor = self.new_executor(number)
        executor.beat()
        if self.random.random() < 0.3:
            self.stop_for_long(executor)
            executor.is_paused = self.random.random() < 0.3

    def stop_for_long(self, executor: ModelExecutor) -> None:
        """Stop an executor while the others work on; it is up to the walk when it goes on."""
        executor.is_paused = True
        for _ in range(self.random.choice((16, 30))):
            self.pass_ms(400)
            for _ in range(8):
                self.random.choice(self.workers)()

    def bury(self, ghosts: list[deque[NewRecord]]) -> None:
        """Keep some of what a dead process had sent: it may still land, even much later."""
        for ghost in ghosts:
            if self.random.random() < 0.8:
                delay_ms = self.random.choice((0, LATE_MS))
                self.ghosts.append((self.log.now_ms + delay_ms, ghost))

    def drain_on(self) -> None:
        for number, executor in enumerate(self.executors):
            if not executor.is_paused:
                executor.drain_on()
            if executor.is_over and not executor.tasks:
                executor.die()
                self.executors[number] = self.new_executor(number)
