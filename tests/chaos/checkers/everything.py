"""All checkers over all cases, in one pass, and the counts that reports give."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from core.ledger.notes import Accepted
from tests.chaos.case import Case
from tests.chaos.checkers import delivery, effects, gated, hops, ledger, letters, offsets, secrets, table
from tests.chaos.evidence import Evidence, Violation

EvidenceCheck = Callable[[Evidence], Iterator[Violation]]
CaseCheck = Callable[[Case, Evidence], Iterator[Violation]]

EVIDENCE_CHECKS: tuple[EvidenceCheck, ...] = (
    delivery.sends_agree_with_the_log,
    table.table_is_as_far_as_the_ledger,
    offsets.commits_never_go_back,
    offsets.offsets_never_move_back,
    offsets.tables_lead,
    secrets.secrets_stay_secret,
)
CASE_CHECKS: tuple[CaseCheck, ...] = (
    delivery.records_are_accounted_for,
    delivery.jobs_end_once,
    delivery.jobs_end_as_their_work,
    delivery.nothing_foreign_runs,
    effects.dispatches_start_once,
    effects.starts_are_claimed,
    effects.attempts_start_after_the_last_was_closed,
    effects.successes_did_their_work,
    effects.attempts_do_not_overlap,
    ledger.paths_are_legal,
    ledger.another_reading_agrees,
    ledger.retries_are_bounded,
    table.rows_are_the_fold,
    table.repetition_changes_nothing,
    letters.letters_say_why,
    letters.closures_have_their_letter,
    letters.the_dead_have_their_letter,
    offsets.ingest_hands_over_first,
    offsets.handlers_decide_first,
    offsets.executors_claim_first,
    hops.stages_hand_over_first,
    hops.only_what_was_decided_travels,
)
VIOLATIONS_MAX = 200
"""Kept; all are counted."""


@dataclass
class Findings:
    """What the checkers say.

    Attributes
    ----------
    jobs
        Accepted.
    repeats
        Effects that were cut off and done again, by cause.
    forgotten
        Commits that stand in the broker's log and that it did not know of any more, by group.
    """

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """All violations by invariant."""
    jobs: int = 0
    states: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    overlaps: list[effects.Overlap] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)
    forgotten: Counter[str] = field(default_factory=Counter)

    def add(self, violations: Iterator[Violation]) -> None:
        """Count violations, and keep the first of them."""
        for violation in violations:
            self.counts[violation.invariant] += 1
            if len(self.violations) < VIOLATIONS_MAX:
                self.violations.append(violation)

    @property
    def lost(self) -> int:
        """Jobs that were acknowledged and are not there, or accepted and never ended."""
        return self.counts["I1"] + self.counts["I2"]

    @property
    def duplicate_outcomes(self) -> int:
        """Dispatches that started twice, and jobs that ran though they must not."""
        return self.counts["I4"] + self.counts["I3"]

    @property
    def illegal_transitions(self) -> int:
        """Verdicts that hold against the law."""
        return self.counts["I6"] + self.counts["I7"]

    @property
    def table_equals_log(self) -> bool:
        """Whether the table is the fold."""
        return not self.counts["I5"]


def check_everything(evidence: Evidence) -> Findings:
    """Make every check, one pass over the cases."""
    findings = Findings()
    for check in EVIDENCE_CHECKS:
        findings.add(check(evidence))
    findings.forgotten = offsets.forgotten(evidence)
    members = gated.Members()
    for case in evidence.cases():
        for case_check in CASE_CHECKS:
            findings.add(case_check(case, evidence))
        members.take(case)
        _count(findings, case, evidence)
    for members_check in gated.MEMBERS_CHECKS:
        findings.add(members_check(members, evidence))
    return findings


def _count(findings: Findings, case: Case, evidence: Evidence) -> None:
    findings.jobs += any(isinstance(event.event, Accepted) for event in case.events)
    if case.state is not None:
        findings.states[case.state] += 1
    findings.starts += sum(effect.kind == "start" for effect in case.effects)
    findings.repeats.update(effects.repeats(case))
    room = max(0, VIOLATIONS_MAX - len(findings.overlaps))
    findings.overlaps.extend(islice(effects.overlaps(case, evidence), room))
