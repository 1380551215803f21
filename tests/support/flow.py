"""Services kept running through kills, jobs submitted to them, and what the ledger says of each job."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.ledger.notes import Accepted, Waiting
from core.ledger.verdicts import Claimed
from core.log import Appended, NewRecord
from core.subjects import Scope
from schemas.control import LimitRecord, PauseRecord
from schemas.ledger import LedgerFolds
from schemas.standing_orders import limit_record, pause_record
from tests.support.pipeline import Pipeline
from tests.support.processes import Program, wait_until

SERVICES = ("ingest", "scheduler", "prioritizer", "dlq_handler")


class Claim:
    """A claim that held."""

    def __init__(self, at_ms: int, n: int, attempt: int, executor: str) -> None:
        self.at_ms = at_ms
        self.n = n
        self.attempt = attempt
        self.executor = executor


@dataclass
class Facts:
    """What holds of one job."""

    type: str = ""
    tenant: str = ""
    state: str = ""
    claims: list[Claim] = field(default_factory=list)
    waited_on: set[str] = field(default_factory=set)


class Flow:
    """The services of one pipeline without a table; a service that ends is started again unarmed."""

    def __init__(self, piped: Pipeline, app: str, **settings: str) -> None:
        self.piped = piped
        (piped.directory / "tasks_of_flow.py").write_text(app)
        self._settings = {
            "PENSTOCK_APP": "tasks_of_flow",
            "PENSTOCK_APP_PATH": str(piped.directory),
            "PENSTOCK_WORKERS": "1",
            "PENSTOCK_LEASE_S": "6",
            "PENSTOCK_HEARTBEAT_S": "0.5",
            "EFFECTS": str(piped.directory / "effects"),
            **settings,
        }
        self._running: dict[str, tuple[str, Program]] = {}
        self._starts = 0
        self._stack = ExitStack()
        self.ends: list[str] = []
        """Services that ended by themselves."""

    def __enter__(self) -> Self:
        for service in SERVICES:
            self.start(service)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, program in self._running.values():
            program.process.terminate()
        self._stack.close()

    def start(self, service: str, name: str = "", **settings: str) -> None:
        """Start a service under a name of its own."""
        name = name or service
        self._starts += 1
        program = self.piped.start(
            service,
            f"{name}.{self._starts}",
            **{**self._settings, "PENSTOCK_INSTANCE": f"{self.piped.routes.prefix}{name}", **settings},
        )
        self._running[name] = (service, self._stack.enter_context(program))

    def stop(self, name: str) -> None:
        """Tell a service to stop, and wait for it."""
        _, program = self._running.pop(name)
        program.process.terminate()
        program.process.wait(60)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        _, program = self._running.pop(name)
        program.process.kill()
        program.process.wait(10)

    def output(self, name: str) -> str:
        """What a service printed."""
        return self._running[name][1].output

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 90.0) -> None:
        """Keep the services running until the condition holds."""

        def met() -> object:
            for name, (service, program) in list(self._running.items()):
                if program.process.poll() is not None:
                    self.ends.append(name)
                    self.start(service, name)
            return condition()

        wait_until(met, what, timeout_s)

    def append(self, *records: NewRecord) -> list[Appended]:
        """Append records at once."""
        return self.piped.append(records)

    def submit(self, count: int, **job: Any) -> None:
        """Submit jobs as a producer does."""
        partitions, value = self.piped.routes.partitions, json.dumps(job).encode()
        jobs = self.piped.routes.jobs
        self.append(*(NewRecord(jobs, number % partitions, None, value) for number in range(count)))

    def pause(self, scope: Scope, name: str, *, paused: bool = True) -> int:
        """Pause or resume; give the broker's time of it."""
        record = pause_record(self.piped.routes, PauseRecord(scope, name, paused))
        return self.append(record)[0].timestamp_ms

    def limit(self, scope: Scope, name: str, rate_per_s: float | None, burst: float = 1.0) -> int:
        """Limit; give the broker's time of it."""
        record = limit_record(self.piped.routes, LimitRecord(scope, name, rate_per_s, burst))
        return self.append(record)[0].timestamp_ms

    def facts(self) -> Mapping[str, Facts]:
        """Fold the whole ledger; by job id."""
        folds = LedgerFolds(self.piped.epoch.epoch, with_notes=True)
        found: dict[str, Facts] = defaultdict(Facts)
        for folded in folds.take(self.piped.read(self.piped.routes.ledger)):
            event, outcome = folded.event, folded.outcome
            fact = found[event.job_id]
            match event:
                case Accepted():
                    fact.type, fact.tenant = event.type, event.tenant
                case Waiting():
                    fact.waited_on.add(event.on)
                case Claimed() if outcome is not None and outcome.holds:
                    claim = Claim(folded.timestamp_ms, event.n, event.attempt, event.executor.split(":")[0])
                    fact.claims.append(claim)
                case _:
                    pass
            if outcome is not None and outcome.holds and outcome.state is not None:
                fact.state = str(outcome.state)
        return found

    def of_type(self, name: str) -> list[Facts]:
        """What holds of the jobs of one type."""
        return [fact for fact in self.facts().values() if fact.type == name]

    def succeeded(self, name: str) -> int:
        """How many jobs of a type succeeded."""
        return sum(fact.state == "succeeded" for fact in self.of_type(name))

    def effects(self) -> list[str]:
        """Lines that tasks wrote."""
        path = Path(self._settings["EFFECTS"])
        return path.read_text(encoding="utf-8").split() if path.exists() else []
