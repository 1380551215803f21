"""Runs scenarios: phases, stacks shared where they may be, evidence, judgement."""

import asyncio
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.audit import Audit
from tests.chaos.checkers.everything import Findings, check_everything
from tests.chaos.evidence import Evidence, Violation
from tests.chaos.heartbeats import longest_silences_s
from tests.chaos.liveness import wait_until_all_ended
from tests.chaos.parts import evidence_of, keep, load_of, watch_of
from tests.chaos.rig.tools import why_missing
from tests.chaos.scenario import FaultDidNotBiteError, Field, Scenario
from tests.chaos.spec import StackSpec
from tests.chaos.stack import Stack

Say = Callable[[str], None]


@dataclass
class Result:
    """What came of one scenario; ``skipped`` says why it could not run here."""

    name: str
    fault: str
    seed: int
    skipped: str = ""
    findings: Findings = field(default_factory=Findings)
    recovery_s: float | None = None
    fault_s: float | None = None
    duration_s: float = 0.0
    sent: int = 0
    acknowledged: int = 0
    kept: str = ""
    """Where logs and evidence of a failed run are."""

    @property
    def holds(self) -> bool:
        """Whether nothing was violated (a skipped one violates nothing, and shows nothing)."""
        return not self.findings.counts


class Runner:
    """Runs scenarios one after the other; equal specs share a stack until one of them fails.

    Parameters
    ----------
    directory
        Where stacks live and failed runs are kept.
    """

    def __init__(self, directory: Path, say: Say) -> None:
        self._directory = directory
        self._say = say
        self._spec: StackSpec | None = None
        self._stack: Stack | None = None
        self._audit: Audit | None = None

    def run(self, scenario: Scenario, seed: int) -> Result:
        """Run one scenario; whatever it does ends as violations of its result."""
        result = Result(scenario.name, scenario.fault, seed)
        missing = [
            why for tool in sorted(scenario.needs, key=lambda one: one.name) if (why := why_missing(tool))
        ]
        if missing:
            result.skipped = "; ".join(missing)
            return result
        began_s = time.monotonic()
        try:
            self._run(scenario, seed, result)
        except Exception as error:
            text = traceback.format_exc()
            self._say(text)
            what = "the fault did not bite" if isinstance(error, FaultDidNotBiteError) else "the run failed"
            result.findings.add(iter([Violation("run", what, f"{error!r}\n{text}")]))
        result.duration_s = time.monotonic() - began_s
        if not result.holds:
            result.kept = self._keep(result)
        return result

    def close(self) -> None:
        """Stop the stack, if one runs."""
        stack, self._stack = self._stack, None
        if self._audit is not None:
            self._audit.book.close()
            self._audit = None
        if stack is not None:
            stack.close()

    def _stack_for(self, spec: StackSpec) -> tuple[Stack, Audit]:
        if self._stack is None or self._audit is None or self._spec != spec:
            self.close()
            self._say("building a stack")
            self._stack = Stack(spec, self._directory / "stack")
            self._audit = Audit(self._stack)
            self._spec = spec
        self._stack.services.wait_ready()
        return self._stack, self._audit

    def _run(self, scenario: Scenario, seed: int, result: Result) -> None:
        stack, audit = self._stack_for(scenario.stack)
        line = stack.history.add("phase", "scenario", name=scenario.name, seed=seed)
        watch = watch_of(stack)
        load = load_of(stack, scenario.load, seed)
        field_ = Field(stack, random.Random(f"{scenario.name} {seed}"), stack.history, load, watch=watch)
        watch.start()
        load.start()
        try:
            field_.go_on(scenario.load.warm_s)
            scenario.inject(field_)
            field_.go_on(scenario.load.after_s)
        finally:
            load.stop()
            result.sent, result.acknowledged = load.sent, load.acknowledged
        stack.history.add("phase", "liveness")
        stuck = wait_until_all_ended(stack, scenario.recovery_limit_s)
        offsets = watch.stop()
        stack.history.add("phase", "evidence")
        audit.gather()
        evidence = evidence_of(
            stack,
            audit,
            offsets,
            since_boot_s=line.at_boot_s,
            overlaps=scenario.overlaps,
            clocks=scenario.clocks,
            rewinds=scenario.rewinds,
            silences_s=asyncio.run(longest_silences_s(stack, line.at_ms)),
        )
        self._judge(scenario, evidence, stuck, result)
        _measure(field_, audit, result)

    @staticmethod
    def _judge(scenario: Scenario, evidence: Evidence, stuck: str, result: Result) -> None:
        if stuck:
            what = f"not everything ended within {scenario.recovery_limit_s:.0f} s"
            result.findings.add(iter([Violation("I2", what, stuck)]))
        found = check_everything(evidence)
        for violation in result.findings.violations:
            found.violations.insert(0, violation)
            found.counts[violation.invariant] += 1
        result.findings = found
        if scenario.check is not None:
            found.add(iter(scenario.check(evidence)))

    def _keep(self, result: Result) -> str:
        """Stop the stack and keep what shows the failure."""
        self.close()
        return keep(self._directory / "stack", self._directory / f"{result.name}-{result.seed}")


def _measure(field_: Field, audit: Audit, result: Result) -> None:
    """Say how long the fault lasted, and how long after healing its jobs had all ended."""
    began_s, healed_s = field_.began_boot_s, field_.healed_boot_s
    if began_s is None or healed_s is None:
        return
    result.fault_s = round(healed_s - began_s, 2)
    offset_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    began_ms, healed_ms = int((began_s + offset_s) * 1000), int((healed_s + offset_s) * 1000)
    ended_ms = audit.book.last_ending(began_ms, healed_ms)
    if ended_ms is not None:
        result.recovery_s = round(max(0.0, (ended_ms - healed_ms) / 1000), 2)
