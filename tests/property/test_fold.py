"""The law of the ledger: one fold, one answer, whatever is repeated, cut or delayed."""

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from core.ledger.fold import LedgerFold
from core.ledger.open_job import Phase
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Cancel, Claimed, Closure, Decided, Preempted, Verdict
from core.log import Record
from core.states import TERMINAL, State
from schemas.codec import ledger_record
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap
from tests.support.naive_fold import NaiveJob
from tests.support.verdicts import EPOCH, About

JOBS = [About(f"{EPOCH}:{i}:{i}", f"01890000-0000-7000-8000-{i:012d}") for i in range(3)]
ROUTES = RouteMap(partitions=1)


def _alphabet(job: About, dispatches: int, executors: str = "ab") -> list[Verdict]:
    letters: list[Verdict] = [job.cancel(), job.expired(), job.refused(), job.skipped()]
    for n in range(1, dispatches + 1):
        letters += [job.preempted(n), job.retry(n), job.hold(n), job.dead(n), job.redriven(n)]
        for by in executors:
            letters += [job.claimed(n, by), job.succeeded(n, by), job.failed(n, by)]
            letters += [job.lost(n, by), job.released(n, by)]
    return letters


ANYTHING = [letter for job in JOBS for letter in _alphabet(job, 3)] + [job.cancel_by_id() for job in JOBS]
histories = st.lists(st.sampled_from(ANYTHING), max_size=120)


def _likely(choices: list[tuple[int, int, bool]]) -> list[Verdict]:
    """Turn choices into a history that gets far: verdicts that hold, and strays that may not."""
    naive = [NaiveJob() for _ in JOBS]
    verdicts: list[Verdict] = []
    for which, choice, stray in choices:
        holding = [letter for letter in LETTERS[which] if naive[which].holds(letter)]
        letters = LETTERS[which] if stray or not holding else holding
        verdict = letters[choice % len(letters)]
        naive[which].take(verdict)
        verdicts.append(verdict)
    return verdicts


LETTERS = [_alphabet(job, 4) for job in JOBS]


def likely_histories() -> st.SearchStrategy[list[Verdict]]:
    choice = st.tuples(st.integers(0, 2), st.integers(0, 9999), st.integers(0, 4).map(lambda i: i == 4))
    return st.lists(choice, max_size=60).map(_likely)


def _records(verdicts: list[Verdict]) -> list[Record]:
    records = []
    for offset, verdict in enumerate(verdicts):
        new = ledger_record(ROUTES, verdict)
        records.append(
            Record(new.topic, new.partition, offset, 1000 + offset, new.key, new.value, new.headers)
        )
    return records


def _digest(fold: LedgerFold) -> object:
    """Everything a fold knows, through its own attributes: equal means indistinguishable."""
    return {name: repr(value) for name, value in sorted(vars(fold).items())}


def _whole(verdicts: list[Verdict]) -> LedgerFold:
    fold = LedgerFold(EPOCH)
    for offset, verdict in enumerate(verdicts):
        fold.apply(offset, 1000 + offset, verdict)
    return fold


def _seen(events: list[FoldedEvent]) -> list[tuple[int, Outcome | None]]:
    return [(event.offset, event.outcome) for event in events]


@given(likely_histories(), st.lists(st.integers(0, 60), max_size=8))
def test_any_batching_gives_the_same_state_and_the_same_answers(
    verdicts: list[Verdict], cuts: list[int]
) -> None:
    records = _records(verdicts)
    at_once, in_batches = LedgerFolds(EPOCH, with_notes=False), LedgerFolds(EPOCH, with_notes=False)
    expected = [(e.offset, e.outcome and e.outcome.holds) for e in at_once.take(records)]

    bounds = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    found = []
    for start, end in itertools.pairwise(bounds):
        found += [(e.offset, e.outcome and e.outcome.holds) for e in in_batches.take(records[start:end])]

    assert found == expected
    assert _digest(in_batches.fold(0)) == _digest(at_once.fold(0))


@given(likely_histories(), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8))
def test_reading_any_stretch_again_changes_nothing(
    verdicts: list[Verdict], stretches: list[tuple[int, int]]
) -> None:
    records = _records(verdicts)
    folds = LedgerFolds(EPOCH, with_notes=False)
    taken = 0
    for upto, back in stretches:
        end = max(taken, min(upto, len(records)))
        start = max(0, min(taken, end - back))
        given_again = folds.take(records[start:end])
        assert [event.offset for event in given_again] == list(range(taken, end))
        taken = end
    folds.take(records)
    folds.take(records)

    assert _digest(folds.fold(0)) == _digest(_whole(verdicts))


@given(likely_histories(), st.integers(0, 60))
def test_a_restart_anywhere_gives_the_same_state_at_the_end(verdicts: list[Verdict], crash: int) -> None:
    records = _records(verdicts)
    before = LedgerFolds(EPOCH, with_notes=False)
    before.take(records[:crash])

    after = LedgerFolds(EPOCH, with_notes=False)
    after.take(records[:crash])
    assert _digest(after.fold(0)) == _digest(before.fold(0))
    after.take(records)

    assert _digest(after.fold(0)) == _digest(_whole(verdicts))


@given(likely_histories(), st.data())
def test_repeating_verdicts_in_the_log_changes_no_job_and_starts_nothing_again(
    verdicts: list[Verdict], data: st.DataObject
) -> None:
    """A hand-over that is repeated after its answer was lost: the copy comes later, at an own offset."""
    doubled: list[Verdict] = []
    for verdict in verdicts:
        doubled.append(verdict)
        doubled += [verdict] * data.draw(st.integers(0, 2))

    plain, repeated = _whole(verdicts), _whole(doubled)

    for job in JOBS:
        one, other = plain.open.get(job.origin), repeated.open.get(job.origin)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (one.n, one.phase, one.failures, one.losses, one.cancel_asked) == (
                other.n,
                other.phase,
                other.failures,
                other.losses,
                other.cancel_asked,
            )
        assert plain.is_done(job.origin) == repeated.is_done(job.origin)


@given(histories)
def test_the_fold_agrees_with_the_table_read_literally_on_any_history(verdicts: list[Verdict]) -> None:
    by_id = [v for v in verdicts if not (isinstance(v, Cancel) and not v.origin)]
    _agree(by_id)


@given(likely_histories())
def test_the_fold_agrees_with_the_table_read_literally_on_long_paths(verdicts: list[Verdict]) -> None:
    _agree(verdicts)


def _agree(verdicts: list[Verdict]) -> None:
    fold = LedgerFold(EPOCH)
    naive = {job.origin: NaiveJob() for job in JOBS}
    for offset, verdict in enumerate(verdicts):
        expected = naive[verdict.origin].take(verdict)
        outcome = fold.apply(offset, 1000 + offset, verdict)
        assert outcome.holds == expected, (offset, verdict)
        if outcome.state is not None:
            assert outcome.state is naive[verdict.origin].state, (offset, verdict)


@given(likely_histories())
def test_the_first_claim_of_a_dispatch_is_the_only_one_and_attempts_never_overlap(
    verdicts: list[Verdict],
) -> None:
    fold = LedgerFold(EPOCH)
    running: dict[str, tuple[int, str]] = {}
    claimed: set[tuple[str, int]] = set()
    for offset, verdict in enumerate(verdicts):
        if not fold.apply(offset, 1000 + offset, verdict).holds:
            continue
        if isinstance(verdict, Claimed):
            assert verdict.origin not in running
            assert (verdict.origin, verdict.n) not in claimed
            running[verdict.origin] = (verdict.n, verdict.executor)
            claimed.add((verdict.origin, verdict.n))
        elif isinstance(verdict, Closure):
            running.pop(verdict.origin, None)


@given(likely_histories())
def test_verdicts_that_hold_climb(verdicts: list[Verdict]) -> None:
    """Strictly, but for a decision to hold what a pre-emption holds already."""
    fold = LedgerFold(EPOCH)
    reached: dict[str, tuple[int, State]] = {}
    last: dict[str, Verdict] = {}
    for offset, verdict in enumerate(verdicts):
        outcome = fold.apply(offset, 1000 + offset, verdict)
        if not outcome.holds or outcome.state is None:
            continue
        rank, state = reached.get(verdict.origin, (0, State.ACCEPTED))
        kept_held = isinstance(verdict, Decided) and isinstance(last.get(verdict.origin), Preempted)
        if kept_held and outcome.state is State.HELD:
            assert (outcome.rank, outcome.state) == (rank, state)
        else:
            assert outcome.rank > rank, (offset, verdict)
        reached[verdict.origin] = (outcome.rank, outcome.state)
        last[verdict.origin] = verdict


@given(likely_histories())
def test_no_job_is_both_open_and_done_and_no_ended_job_is_claimed(verdicts: list[Verdict]) -> None:
    fold = LedgerFold(EPOCH)
    for offset, verdict in enumerate(verdicts):
        outcome = fold.apply(offset, 1000 + offset, verdict)
        assert not [origin for origin in fold.open if fold.is_done(origin)]
        if outcome.holds and outcome.state in TERMINAL:
            assert not fold.may_claim(verdict.origin, verdict.job_id, 1)
            assert fold.is_done(verdict.origin)
            assert not fold.holds_claim(verdict.origin, 1, "a")


@given(likely_histories())
def test_may_claim_says_what_a_claim_appended_now_would_do(verdicts: list[Verdict]) -> None:
    fold = _whole(verdicts)
    for job, n in itertools.product(JOBS, range(1, 5)):
        promised = fold.may_claim(job.origin, job.job_id, n)
        copy = _whole(verdicts)
        assert copy.apply(len(verdicts), 0, job.claimed(n, "z")).holds == promised
        assert copy.holds_claim(job.origin, n, "z") == promised


@given(likely_histories())
def test_after_a_cancel_in_the_log_no_attempt_starts_until_a_redrive(verdicts: list[Verdict]) -> None:
    fold = LedgerFold(EPOCH)
    cancelled: set[str] = set()
    for offset, verdict in enumerate(verdicts):
        outcome = fold.apply(offset, 1000 + offset, verdict)
        if outcome.holds and isinstance(verdict, Cancel):
            cancelled.add(verdict.origin)
        elif outcome.holds and outcome.state is State.RETRYING and not isinstance(verdict, Decided):
            cancelled.discard(verdict.origin)
        assert not (isinstance(verdict, Claimed) and outcome.holds and verdict.origin in cancelled)


def test_every_history_of_one_job_up_to_its_second_dispatch_agrees_with_the_table() -> None:
    """Exhaustive: every reachable history, and at each of them every verdict there is."""
    job = JOBS[0]
    rival = [job.claimed(1, "b"), job.succeeded(1, "b"), job.failed(1, "b"), job.lost(1, "b")]
    letters = [*_alphabet(job, 2, "a"), *rival, job.redriven(3), job.claimed(3, "a")]
    visited = 0
    for history in _reachable(letters, depth=12):
        visited += 1
        naive, untouched = NaiveJob(list(history)), _whole(history)
        before = _digest(untouched)
        for letter in letters:
            holds = naive.holds(letter)
            fold = _whole(history) if holds else untouched
            assert fold.apply(len(history), 5, letter).holds == holds, (history, letter)
            untouched.next_offset = len(history)
        assert _digest(untouched) == before, "verdicts that do not hold leave no trace"
    assert visited > 300, visited


def _reachable(letters: list[Verdict], depth: int) -> Iterator[list[Verdict]]:
    """Give one history for each state the fold can reach together with what the oracle has seen."""
    pending: list[list[Verdict]] = [[]]
    seen: set[str] = set()
    while pending:
        history = pending.pop()
        fold = _whole(history)
        fold.next_offset = 0
        for job in fold.open.values():
            job.claim_ledger_offset, job.claim_timestamp_ms = 0, 0
        # The kinds held so far, without order: what else the oracle could remember.
        mark = repr((_digest(fold), sorted(set(map(repr, history)))))
        if mark in seen:
            continue
        seen.add(mark)
        yield history
        if len(history) < depth:
            naive = NaiveJob(history)
            pending += [[*history, letter] for letter in letters if naive.holds(letter)]


@given(likely_histories())
def test_a_phase_is_what_the_last_verdict_says(verdicts: list[Verdict]) -> None:
    fold = LedgerFold(EPOCH)
    naive = {job.origin: NaiveJob() for job in JOBS}
    for offset, verdict in enumerate(verdicts):
        naive[verdict.origin].take(verdict)
        fold.apply(offset, 1000 + offset, verdict)
    states = {
        Phase.CLAIMED: {State.RUNNING},
        Phase.CLOSED: {State.RETRYING, State.HELD},
        Phase.HELD: {State.HELD},
        Phase.UNCLAIMED: {State.RETRYING},
    }
    for origin, job in fold.open.items():
        assert naive[origin].state in states[job.phase]
