"""Following gated jobs alone says of them what the fold of the whole ledger says."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from core.frames import chunks_of, frames_in
from core.gates.ended import Ended
from core.ledger.fold import CANCEL_KEEP_MS, LedgerFold
from core.ledger.notes import Accepted, Note
from core.ledger.verdicts import Cancel, Redriven, Verdict
from core.log import Headers, Record
from core.states import TERMINAL, State
from schemas.codec import ledger_record
from schemas.gate_keys import gates_header, keys_of
from schemas.gated import GatedEnd, GatedJobs
from schemas.topics import RouteMap
from tests.support.histories import JOBS, timed_histories
from tests.support.verdicts import EPOCH, About

ROUTES = RouteMap(partitions=1)
GATED = JOBS[:2]


class Said(NamedTuple):
    """One record of the ledger to be."""

    at_ms: int
    event: Verdict | Note


def accepted(job: About) -> Accepted:
    gated = job in GATED
    return Accepted(
        job.origin,
        job.job_id,
        type="t",
        tenant="t",
        pool="default",
        priority=5,
        submitted_ms=0,
        timeout_s=1,
        max_attempts=1,
        payload=msgspec.Raw(b"{}"),
        payload_bytes=2,
        trace_id="",
        ordering_key="k" if gated else None,
        workflow_id="w" if gated else None,
    )


def record(offset: int, said: Said) -> Record:
    more: Headers = ()
    if isinstance(said.event, Redriven) and said.event.origin in {job.origin for job in GATED}:
        more = gates_header(keys_of("t", "w", "k"))
    new = ledger_record(ROUTES, said.event, more)
    return Record(new.topic, 0, offset, said.at_ms, new.key, new.value, new.headers)


@st.composite
def ledgers(draw: st.DrawFn) -> list[Said]:
    """Histories within a day, with the note of each job before all of its verdicts but cancels."""
    history = [Said(at_ms // 100, verdict) for at_ms, verdict in draw(timed_histories())]
    for job in JOBS:
        own = [i for i, said in enumerate(history) if said.event.job_id == job.job_id]
        firsts = [i for i in own if not isinstance(history[i].event, Cancel)]
        place = draw(st.integers(0, firsts[0] if firsts else len(history)))
        history.insert(place, Said(history[place - 1].at_ms if place else 0, accepted(job)))
        for again in draw(st.lists(st.integers(place, len(history)), max_size=2)):
            history.insert(again, Said(history[again - 1].at_ms if again else 0, accepted(job)))
    return history


def ends_by_the_whole_fold(ledger: Sequence[Said]) -> list[Ended | None]:
    """What the gates must be told after each record, by the fold that knows everything."""
    fold, alive, told = LedgerFold(EPOCH), set[str](), list[Ended | None]()
    origins = {job.job_id: job.origin for job in GATED}
    for offset, (at_ms, event) in enumerate(ledger):
        origin, end = origins.get(event.job_id), None
        if isinstance(event, Note):
            fold.skip_to(offset + 1)
            if origin is not None and origin not in alive:
                if fold.may_claim(origin, event.job_id, 1):
                    alive.add(origin)
                else:
                    end = Ended(
                        origin, event.job_id, 1, State.CANCELLED, 0, offset, tenant="t", workflow_id="w"
                    )
        else:
            outcome = fold.apply(offset, at_ms, event)
            if isinstance(event, Redriven) and outcome.holds and origin is not None:
                alive.add(origin)
            if origin in alive and outcome.holds and outcome.state in TERMINAL:
                assert outcome.state is not None
                assert origin is not None
                alive.discard(origin)
                n = outcome.job.n if outcome.job else 1
                end = Ended(origin, event.job_id, n, outcome.state, 0, offset, tenant="t", workflow_id="w")
        told.append(end)
    return told


def ends_of(gated: GatedJobs, ledger: Sequence[Said], start: int = 0) -> list[GatedEnd | None]:
    return [gated.take(record(start + number, said)) for number, said in enumerate(ledger)]


@settings(max_examples=300)
@given(ledgers())
def test_gated_jobs_end_as_the_whole_ledger_says(ledger: list[Said]) -> None:
    ends = ends_of(GatedJobs(EPOCH, 0), ledger)
    assert [end and end.ended for end in ends] == ends_by_the_whole_fold(ledger)
    assert all(end is None or end.keys == keys_of("t", "w", "k") for end in ends)


@given(ledgers(), st.data())
def test_following_goes_on_from_a_snapshot_as_if_it_had_never_stopped(
    ledger: list[Said], data: st.DataObject
) -> None:
    whole, first = GatedJobs(EPOCH, 0), GatedJobs(EPOCH, 0)
    expected = ends_of(whole, ledger)
    cut = data.draw(st.integers(0, len(ledger)))
    ends_of(first, ledger[:cut])
    image = first.image()
    ends_of(first, ledger[cut:], cut)
    restored = GatedJobs.restored(EPOCH, 0, frames_in(list(chunks_of(image.frames()))))
    assert restored.next_offset == image.keep_from() == cut
    assert ends_of(restored, ledger[cut:], cut) == expected[cut:]
    assert restored.image() == first.image() == whole.image()


def test_an_early_cancel_is_forgotten_when_the_whole_fold_forgets_it() -> None:
    one, other = GATED[0], JOBS[3]
    for passing, ends in ((other.claimed(1), False), (accepted(other), True)):
        ledger = [Said(0, one.cancel_by_id()), Said(CANCEL_KEEP_MS, passing)]
        ledger.append(Said(CANCEL_KEEP_MS, accepted(one)))
        told = ends_of(GatedJobs(EPOCH, 0), ledger)[-1]
        assert (told is not None) is ends
        assert [told and told.ended] == ends_by_the_whole_fold(ledger)[-1:]


def test_jobs_without_gates_are_not_remembered() -> None:
    gated, other = GatedJobs(EPOCH, 0), JOBS[3]
    ledger = [Said(0, accepted(other)), Said(0, other.claimed(1)), Said(0, other.failed(1))]
    assert ends_of(gated, ledger) == [None, None, None]
    assert len(gated) == 0
    assert not gated.image().ledger.open
