"""The soak: a load that does not pause, and faults drawn at random, for as long as asked."""

import random
import shutil
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.audit import Audit
from tests.chaos.checkers.everything import Findings, check_everything
from tests.chaos.effects import number_of_effects
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.liveness import wait_until_all_ended
from tests.chaos.load import Load, LoadRunner
from tests.chaos.meters import Meter, summary
from tests.chaos.nemesis import Planned, plans
from tests.chaos.orders import Kind, Mix
from tests.chaos.parts import evidence_of, keep, load_of, watch_of
from tests.chaos.scenario import FaultDidNotBiteError, Field
from tests.chaos.spec import StackSpec
from tests.chaos.stack import Stack
from tests.chaos.watch import OffsetLog

PROGRESS_EVERY_S = 10.0
WARM_S = 10.0
WATCH_EVERY_S = 1.0
RECOVERY_LIMIT_S = 120.0
SOAK_SPEC = StackSpec(
    slots=32,
    services={"dlq_handler": {"PENSTOCK_JANITOR_S": "30", "PENSTOCK_LEDGER_KEEP_S": "300"}},
)
"""With the janitor at work, so that the disk it leaves is measured; the audit reads along."""
SOAK_MIX = Mix(
    kinds={
        Kind.THREAD: 0.05,
        Kind.FLAKY: 0.03,
        Kind.FAILING: 0.01,
        Kind.SLOW: 0.005,
        Kind.CRASH: 0.0003,
        Kind.POISON: 0.005,
    },
    keyed=0.05,
    supplied=0.02,
    repeated=0.02,
    due=0.03,
    cancelled=0.01,
)
"""Light, so that two cores carry 200 jobs/s beside the broker, the witnesses and the load itself."""


@dataclass(frozen=True)
class SoakPlan:
    """What is asked for."""

    minutes: float
    seed: int
    rate_per_s: float = 200.0


@dataclass
class SoakResult:
    """What came of a soak."""

    plan: SoakPlan
    findings: Findings = field(default_factory=Findings)
    sent: int = 0
    acknowledged: int = 0
    load_s: float = 0.0
    rested_after_s: float | None = None
    """From the end of the load to rest; None when that never came."""
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Strikes that had no effect."""
    unread: dict[str, int] = field(default_factory=dict)
    meter: dict[str, Any] = field(default_factory=dict)
    check_s: float = 0.0
    kept: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing was violated."""
        return not self.findings.counts


class Soak:
    """One soak on a stack of its own.

    Parameters
    ----------
    directory
        Where the stack lives, and what is kept when something was violated.
    say
        Takes a line for people.
    """

    def __init__(self, plan: SoakPlan, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._plan = plan
        self._say = say
        self.result = SoakResult(plan)
        self._striking = ""
        """What is done just now."""

    def run(self) -> SoakResult:
        """Run it to the end; whatever goes wrong ends as a violation of the result."""
        path = self._directory / "stack"
        self._say("building a stack")
        stack = Stack(SOAK_SPEC, path)
        audit = Audit(stack)
        try:
            evidence = self._soak(stack, audit)
            # The checkers need no pipeline, and it needs what they need: both cores.
            stack.close()
            self._say(f"checking {audit.book.touched()} jobs")
            self._check(evidence)
        except Exception as error:
            self._violated("the soak failed", f"{error!r}\n{traceback.format_exc()}")
        finally:
            stack.close()
            audit.book.close()
        if not self.result.holds:
            self.result.kept = keep(path, self._directory / f"soak-{self._plan.seed}")
        # Gigabytes; history, meter and logs stay to be looked at.
        for name in ("kafka", "database", "effects", "marks"):
            shutil.rmtree(path / name, ignore_errors=True)
        for name in ("evidence.db", "sent.jsonl"):
            (path / name).unlink(missing_ok=True)
        return self.result

    def _soak(self, stack: Stack, audit: Audit) -> Evidence:
        load = load_of(stack, Load(rate_per_s=self._plan.rate_per_s, mix=SOAK_MIX), self._plan.seed)
        watch, meter = watch_of(stack, WATCH_EVERY_S), Meter(stack)
        stopping = threading.Event()
        follower = threading.Thread(target=audit.follow, args=(stopping,), name="audit", daemon=True)
        teller = threading.Thread(target=self._tell, args=(stack, load, stopping), name="teller", daemon=True)
        for one in (watch, meter, load, follower, teller):
            one.start()
        try:
            self._strike_on(stack, load)
            self._come_to_rest(stack, load)
        finally:
            stopping.set()
            follower.join()
            teller.join()
            meter.stop()
            offsets = watch.stop()
        self.result.meter = summary(meter.samples)
        return self._evidence(stack, audit, offsets)

    def _strike_on(self, stack: Stack, load: LoadRunner) -> None:
        """Strike until the time is up; the load is stopped whatever happens."""
        began_s = time.monotonic()
        until_s = began_s + 60 * self._plan.minutes
        try:
            self._field(stack, load, "warm").go_on(min(WARM_S, until_s - began_s))
            for planned in plans(self._plan.seed):
                field_ = self._field(stack, load, planned.seed)
                field_.go_on(max(0.0, min(planned.quiet_s, until_s - time.monotonic())))
                if time.monotonic() >= until_s or not self._strike(planned, field_):
                    break
        finally:
            load.stop()
            self.result.load_s = time.monotonic() - began_s
            self.result.sent, self.result.acknowledged = load.sent, load.acknowledged

    @staticmethod
    def _field(stack: Stack, load: LoadRunner, seed: str) -> Field:
        return Field(stack, random.Random(seed), stack.history, load)

    def _strike(self, planned: Planned, field_: Field) -> bool:
        """Strike once; False when the pipeline did not come back, so that to go on would show nothing."""
        name = self._striking = planned.strike.name
        self.result.struck[name] += 1
        try:
            planned.strike.inject(field_)
        except FaultDidNotBiteError as error:
            self.result.missed[name] += 1
            field_.note(f"{name} did not bite: {error}")
        except Exception as error:
            self._violated(f"{name} ({planned.seed})", f"{error!r}\n{traceback.format_exc()}")
            return False
        finally:
            self._striking = ""
        return True

    def _come_to_rest(self, stack: Stack, load: LoadRunner) -> None:
        self._say(f"{load.acknowledged} acknowledged; waiting until all have ended")
        began_s = time.monotonic()
        stuck = wait_until_all_ended(stack, RECOVERY_LIMIT_S)
        if stuck:
            what = f"not everything ended within {RECOVERY_LIMIT_S:.0f} s"
            self.result.findings.add(iter([Violation("I2", what, stuck)]))
        else:
            self.result.rested_after_s = round(time.monotonic() - began_s, 1)

    def _evidence(self, stack: Stack, audit: Audit, offsets: OffsetLog) -> Evidence:
        self._say("gathering the evidence")
        audit.gather()
        self.result.unread = dict(audit.unread)
        return evidence_of(stack, audit, offsets)

    def _check(self, evidence: Evidence) -> None:
        began_s = time.monotonic()
        found = check_everything(evidence)
        found.violations[:0] = self.result.findings.violations
        found.counts += self.result.findings.counts
        self.result.findings = found
        self.result.check_s = round(time.monotonic() - began_s, 1)

    def _violated(self, what: str, evidence: str) -> None:
        self._say(f"{what}: {evidence}")
        self.result.findings.add(iter([Violation("run", what, evidence)]))

    def _tell(self, stack: Stack, load: LoadRunner, stopping: threading.Event) -> None:
        """Say every ten seconds how far it is."""
        began_s, before = time.monotonic(), 0
        while not stopping.wait(PROGRESS_EVERY_S):
            acknowledged = load.acknowledged
            rate_per_s = (acknowledged - before) / PROGRESS_EVERY_S
            before = acknowledged
            minutes, seconds = divmod(int(time.monotonic() - began_s), 60)
            taken_in = f"sent {load.sent}, acknowledged {acknowledged} ({rate_per_s:.0f}/s)"
            strikes = f"{self.result.struck.total()} strikes {self._striking}"
            self._say(f"{minutes:3}:{seconds:02} {taken_in}, {_effects(stack)} effects, {strikes}")


def _effects(stack: Stack) -> int:
    return number_of_effects(stack.effects_url, "select coalesce(max(seq), 0) from effects")
