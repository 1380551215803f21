"""I11: every letter names its cause, where the job came from and its attempts, and belongs to a verdict."""

from collections.abc import Iterator

from core.ledger.verdicts import Action, Decided, Failed, Lost
from tests.chaos.case import Case, Letter
from tests.chaos.evidence import Evidence, Violation


def letters_say_why(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that no letter is without cause, origin or attempt."""
    origins = {event.event.origin for event in case.events}
    for letter in case.letters:
        missing = [
            name
            for name, value in (("class", letter.error_class), ("message", letter.message), ("n", letter.n))
            if not value
        ]
        if letter.origin not in origins:
            missing.append("the job's origin")
        if letter.attempt < 1 or letter.attempt > letter.n:
            missing.append("a possible attempt")
        if missing:
            yield Violation("I11", f"a letter lacks {', '.join(missing)}", _place(case, letter))


def closures_have_their_letter(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that the letter a closure names stands there and is about that dispatch."""
    letters = {letter.offset: letter for letter in case.letters if not letter.is_dead}
    for event, verdict, _ in case.verdicts:
        if not isinstance(verdict, Failed | Lost):
            continue
        letter = letters.get(verdict.dlq_offset)
        if letter is None or (letter.origin, letter.n) != (verdict.origin, verdict.n):
            place = f"job {case.job_id}, dispatch {verdict.n}, ledger {event.partition}/{event.offset}"
            what = f"a closure names letter {verdict.dlq_offset}, which is not about it"
            yield Violation("I11", what, place)


def the_dead_have_their_letter(case: Case, _evidence: Evidence) -> Iterator[Violation]:
    """Ask that every job given up is in ``jobs.dead``, and nothing else is."""
    decided = {
        (verdict.origin, verdict.n)
        for _, verdict, _ in case.verdicts
        if isinstance(verdict, Decided) and verdict.action is Action.DEAD
    }
    dead = {(letter.origin, letter.n) for letter in case.letters if letter.is_dead}
    for origin, n in sorted(decided - dead):
        yield Violation("I11", "a job given up is not in jobs.dead", f"job {case.job_id}, {origin}/{n}")
    for origin, n in sorted(dead - decided):
        yield Violation("I11", "jobs.dead has a job nobody gave up", f"job {case.job_id}, {origin}/{n}")


def _place(case: Case, letter: Letter) -> str:
    topic = "jobs.dead" if letter.is_dead else "jobs.dlq"
    return f"job {case.job_id}, {topic}/{letter.partition}/{letter.offset}"
