"""Ledgers made up for tests: any records in any order, many of which do not hold."""

import uuid
from collections.abc import Iterable, Sequence

import msgspec
from hypothesis import strategies as st

from core.ledger.notes import Accepted, Logged, LogLine, Note, Progress, Queued, Repeated, Scored, Waiting
from core.ledger.verdicts import (
    Action,
    Cancel,
    Chosen,
    Claimed,
    Decided,
    Expired,
    Failed,
    Lost,
    Preempted,
    Redriven,
    Refused,
    Released,
    Skipped,
    Succeeded,
    Verdict,
)
from core.log import Record
from penstock.identity import Origin
from schemas.codec import ledger_record
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.topics import RouteMap

EPOCH = "epoch1"
BASE_MS = 1_790_000_000_000
Event = Verdict | Note
TEXTS = st.sampled_from(["", "plain", "with \x00 nul", "tab\tand\nline \\ 'quote'", "ümlaut 🦀"])
JSON = st.sampled_from([b"null", b"{}", b'{"a":1.50,"b":[1e2,-0.0]}', b'"\\u0000 x"', b"1e999"])


def origin_of(job: int) -> str:
    """Name the origin of the numbered job."""
    return str(Origin(EPOCH, job % 2, job))


def job_id_of(job: int) -> str:
    """Name the id of the numbered job."""
    return str(uuid.UUID(int=(0x7 << 76) | (0b10 << 62) | job))


def accepted(job: int = 0, **changes: object) -> Accepted:
    """Make the note of ingest."""
    note = Accepted(
        origin_of(job),
        job_id_of(job),
        type="email.send",
        tenant="acme",
        pool="default",
        priority=5,
        submitted_ms=BASE_MS - 5,
        timeout_s=300.0,
        max_attempts=5,
        payload=msgspec.Raw(b'{"to":"x"}'),
        payload_bytes=10,
        trace_id="0" * 32,
    )
    return msgspec.structs.replace(note, **changes)


def queued(job: int = 0, n: int = 1, **changes: object) -> Queued:
    """Make the note of the prioritizer."""
    note = Queued(origin_of(job), job_id_of(job), n, 3, 1200.5, {"urgency": 1.5}, BASE_MS + n)
    return msgspec.structs.replace(note, **changes)


def claimed(job: int = 0, n: int = 1, executor: str = "e1", attempt: int = 1) -> Claimed:
    """Make a claim."""
    return Claimed(origin_of(job), job_id_of(job), n, executor, "jobs.exec.default.b3", 0, 7, attempt)


def succeeded(job: int = 0, n: int = 1, executor: str = "e1", result: bytes = b'{"ok":true}') -> Succeeded:
    """Make a success."""
    raw = msgspec.Raw(result)
    return Succeeded(origin_of(job), job_id_of(job), n, executor, BASE_MS + 50, 0.25, raw)


def failed(job: int = 0, n: int = 1, executor: str = "e1", message: str = "no answer") -> Failed:
    """Make a failure."""
    where = (origin_of(job), job_id_of(job))
    return Failed(*where, n, executor, BASE_MS + 60, 0.5, "transient", "TimeoutError", message, 11)


def lost(job: int = 0, n: int = 1, executor: str = "e1") -> Lost:
    """Make a loss."""
    return Lost(origin_of(job), job_id_of(job), n, executor, "its lease ended", 12)


def decided(job: int = 0, n: int = 1, action: Action = Action.RETRY, due_ms: int | None = None) -> Decided:
    """Make a decision."""
    signature = f"{n:016x}" if n % 2 else None
    delay_s = None if due_ms is None else 1.5
    chosen = None
    if n % 2:
        # The first dispatch's as an older version wrote it, the later ones' with all there is.
        chosen = Chosen("rule", "transient", delay_s, context=(float(n), 2.0))
    if chosen is not None and n > 1:
        asked = {"fingerprint": "0a1b", "vector": b"\0\0\x80\x3f" * 3, "model": "m-1", "p_works": 0.25}
        chosen = msgspec.structs.replace(chosen, **asked, shadow="m-2", p_shadow=0.75)
    where = (origin_of(job), job_id_of(job), n, action, "transient, try 1 of 5", due_ms)
    return Decided(*where, signature=signature, chosen=chosen)


def cancel(job: int = 0, *, origin: str | None = None, reason: str = "") -> Cancel:
    """Make a cancel; by default its writer does not know the origin."""
    return Cancel(origin or "", job_id_of(job), "ann", reason)


def written(events: Iterable[Event]) -> list[Record]:
    """Append the events to a ledger of two partitions, a millisecond apart."""
    routes, ends = RouteMap(partitions=2), [0, 0]
    records: list[Record] = []
    for number, event in enumerate(events):
        new = ledger_record(routes, event)
        place = (new.topic, new.partition, ends[new.partition], BASE_MS + 100 + number)
        records.append(Record(*place, new.key, new.value, new.headers))
        ends[new.partition] += 1
    return records


def folded(events: Iterable[Event]) -> list[FoldedEvent]:
    """Append and fold the events."""
    return LedgerFolds(EPOCH, with_notes=True).take(written(events))


_SCORES = st.builds(
    Scored,
    st.integers(BASE_MS, BASE_MS + 9999),
    st.sampled_from(["0a1b2c3d", "ffffffff"]),
    st.binary(max_size=8),
    st.sampled_from(["", "ewma"]),
    st.none() | st.just(7.5),
    st.none() | st.just(0.25),
    st.sampled_from(["", "m2"]),
    st.none() | st.just(6.5),
    st.none() | st.just(0.5),
    st.none() | st.just(0.875),
    st.sampled_from(["", "watched", "diverted"]),
)


def _numbers(job: int) -> st.SearchStrategy[Event]:
    where = (st.just(origin_of(job)), st.just(job_id_of(job)))
    n, executor = st.integers(1, 3), st.sampled_from(["e1", "e2"])
    due = st.none() | st.integers(BASE_MS, BASE_MS + 9999)
    unit, raw = st.sampled_from([0.0, 0.25, 1.0]), JSON.map(msgspec.Raw)
    notes: list[st.SearchStrategy[Event]] = [
        st.builds(
            accepted,
            st.just(job),
            payload=raw,
            labels=st.just({}) | st.just({"k": "v"}),
            run_at_ms=due,
            deadline_ms=due,
            idempotency_key=st.none() | st.just("key"),
        ),
        st.builds(Waiting, *where, st.sampled_from(["due", "id"]), n, due),
        st.builds(
            queued,
            st.just(job),
            n,
            bucket=st.integers(0, 7),
            p_fail=st.none() | unit,
            scored=st.none() | _SCORES,
        ),
        st.builds(Progress, *where, n, unit, TEXTS),
        st.builds(
            Logged, *where, n, st.tuples(st.builds(LogLine, n, due.map(lambda t: t or 0), TEXTS, TEXTS))
        ),
        st.builds(Repeated, *where, st.just(origin_of(job + 2)), st.booleans()),
    ]
    verdicts: list[st.SearchStrategy[Event]] = [
        st.builds(claimed, st.just(job), n, executor, n),
        st.builds(claimed, st.just(job), n, executor, n),
        st.builds(succeeded, st.just(job), n, executor, JSON),
        st.builds(failed, st.just(job), n, executor, TEXTS),
        st.builds(failed, st.just(job), n, executor, TEXTS),
        st.builds(lost, st.just(job), n, executor),
        st.builds(Released, *where, n, executor, TEXTS),
        st.builds(Preempted, *where, n, unit, n, st.none() | _SCORES),
        st.builds(decided, st.just(job), n, st.sampled_from(list(Action)), due),
        st.builds(decided, st.just(job), n, st.just(Action.RETRY), due),
        st.builds(cancel, st.just(job), origin=st.none() | where[0], reason=TEXTS),
        st.builds(Expired, *where),
        st.builds(Skipped, *where, TEXTS),
        st.builds(Refused, *where, TEXTS),
        st.builds(Redriven, *where, n, st.just("jobs.dead"), st.just(0), n, TEXTS),
    ]
    return st.one_of(*notes, *verdicts)


def stories(jobs: int = 3, max_size: int = 40) -> st.SearchStrategy[list[Event]]:
    """Give any records about a few jobs, in any order; the fold says which hold."""
    return st.lists(st.one_of(*(_numbers(job) for job in range(jobs))), max_size=max_size)


def batched(items: Sequence[FoldedEvent], cuts: Sequence[int]) -> list[list[FoldedEvent]]:
    """Cut a sequence at the given places (modulo its length)."""
    places = sorted({cut % (len(items) + 1) for cut in cuts})
    starts, ends = [0, *places], [*places, len(items)]
    return [list(items[start:end]) for start, end in zip(starts, ends, strict=True)]
