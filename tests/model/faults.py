"""What the walk does to the world."""

from enum import Enum, auto

from core.ledger.verdicts import Cancel, Redriven
from schemas.accepted_job import AcceptedJob
from schemas.codec import ledger_record
from services.executor.held import Stage
from tests.model.executor import ROUTES
from tests.model.world import LATE_MS, World


class Fault(Enum):
    """What can happen."""

    CRASH = auto()
    STOP = auto()
    LONG_STOP = auto()
    CONTINUE = auto()
    LAG = auto()
    MUTE = auto()
    FORGET = auto()
    LAST_WORDS = auto()
    DRAIN = auto()
    REBALANCE = auto()
    HANDLER_CRASH = auto()
    HANDLER_STOP = auto()
    STAGE_CRASH = auto()
    CANCEL = auto()
    REDRIVE = auto()


FAULTS = (*Fault, *[Fault.CONTINUE] * 4, Fault.LAG, Fault.MUTE, Fault.REBALANCE)
"""Stops are short on the average, so that the rest goes on."""


class Faults:
    """Does what the law must survive.

    Parameters
    ----------
    favourite
        What happens every other time.
    """

    def __init__(self, world: World, favourite: Fault | None) -> None:
        self.world = world
        self._favourite = favourite

    def happen(self) -> None:
        """Do one of the things the law must survive; a favourite every other time."""
        fault = self.world.random.choice(FAULTS)
        if self._favourite is not None and self.world.random.random() < 0.5:
            fault = self._favourite
        match fault:
            case Fault.CRASH:
                self.executor_crashes()
            case Fault.STOP:
                self.world.random.choice(self.world.executors).is_paused = True
            case Fault.LONG_STOP:
                self.executor_stops_for_long()
            case Fault.CONTINUE:
                self.world.random.choice(self.world.executors).is_paused = False
            case Fault.LAG:
                executor = self.world.random.choice(self.world.executors)
                executor.is_deaf = not executor.is_deaf and self.world.random.random() < 0.5
            case Fault.MUTE:
                executor = self.world.random.choice(self.world.executors)
                executor.is_mute = not executor.is_mute and self.world.random.random() < 0.5
            case Fault.FORGET:
                self.world.random.choice(self.world.executors).forget_a_claim()
            case _:
                self._other_fault(fault)

    def _other_fault(self, fault: Fault) -> None:
        match fault:
            case Fault.LAST_WORDS:
                self.executor_dies_after_a_run()
            case Fault.DRAIN:
                self.executor_drains()
            case Fault.REBALANCE:
                self.world.groups[self.world.random.choice(("executor", "handler"))].rebalance(2)
            case Fault.HANDLER_CRASH:
                self.handler_crashes()
            case Fault.HANDLER_STOP:
                handler = self.world.random.choice(self.world.handlers)
                handler.is_paused = not handler.is_paused
            case Fault.STAGE_CRASH:
                self.stage_crashes()
            case Fault.CANCEL:
                self.somebody_cancels()
            case Fault.REDRIVE:
                self.desk_redrives()
            case _:
                raise ValueError(fault)

    def executor_crashes(self) -> None:
        closing = [number for number in range(2) if self.world.executors[number].is_busy("close")]
        running = [number for number in range(2) if self.world.executors[number].pool.is_running]
        busy = closing if self.world.random.random() < 0.5 else running
        self.world.crash(self.world.random.choice(busy or [0, 1]))

    def executor_dies_after_a_run(self) -> None:
        """End an executor that has just sent the success of a run, which lands late."""
        running = [number for number in range(2) if self.world.executors[number].pool.is_running]
        if running:
            number = self.world.random.choice(running)
            executor = self.world.executors[number]
            executor.pool.hurry()
            executor.pool.end(self.world.random, p_success=1.0)
            executor.close()
            late = [lane for topic, lane in executor.unlanded() if topic == ROUTES.ledger]
            self.world.ghosts.extend((self.world.log.now_ms + LATE_MS, lane) for lane in late)
            self.world.crash(number)

    def executor_stops_for_long(self) -> None:
        """Stop an executor, one that holds something if there is one, for one or two leases."""
        busy = [executor for executor in self.world.executors if len(executor.held)]
        self.world.stop_for_long(self.world.random.choice(busy or self.world.executors))

    def executor_drains(self) -> None:
        executor = self.world.random.choice(self.world.executors)
        if not executor.is_paused:
            executor.start_to_drain()

    def handler_crashes(self) -> None:
        busy = [number for number in range(2) if self.world.handlers[number].is_busy("work")]
        number = self.world.random.choice(busy or [0, 1])
        for _ in range(self.world.random.choice((0, 4))):
            self.world.janitor.step(self.world.handlers[number])
        if self.world.random.random() < 0.5:
            self.world.take_snapshot(self.world.handlers[number])
        self.world.bury(self.world.handlers[number].die())
        self.world.handlers[number] = self.world.new_handler(number)

    def stage_crashes(self) -> None:
        match self.world.random.randrange(3):
            case 0:
                self.world.bury(self.world.scheduler.die())
                self.world.scheduler = self.world.new_scheduler()
            case 1:
                self.world.bury(self.world.prioritizer.die())
                self.world.prioritizer = self.world.new_prioritizer()
            case _:
                self.world.materializers[self.world.random.randrange(2)] = self.world.new_materializer()

    def somebody_cancels(self) -> None:
        if self.world.random.random() < 0.4:
            job = self.world.random.choice(
                self.world.random.choice((self.world.jobs, self._claimed_now() or self.world.jobs))
            )
            origin = job.origin if self.world.random.random() < 0.5 and job.idempotency_key is None else ""
            self.world.log.append(ledger_record(ROUTES, Cancel(origin, job.job_id, "somebody")))

    def _claimed_now(self) -> list[AcceptedJob]:
        """Give the jobs whose claim is under way or was not read back yet."""
        held = [one for executor in self.world.executors for one in executor.held.all()]
        claiming = {one.job.origin for one in held if one.stage is Stage.CLAIMING}
        return [job for job in self.world.jobs if job.origin in claiming]

    def desk_redrives(self) -> None:
        """Open a job again; two desks may say the same."""
        for job in self.world.jobs:
            last = self.world.oracle.reopenable.get(job.origin)
            if last is not None and self.world.random.random() < 0.5:
                self.world.redrives[job.origin] = last + 1
                # From elsewhere than a dead letter: the desk of the model hands the job on itself.
                redriven = Redriven(job.origin, job.job_id, last + 1, "desk", 0, 0, "desk")
                self.world.log.append(ledger_record(ROUTES, redriven))
