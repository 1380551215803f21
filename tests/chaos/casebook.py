"""The book of facts: one SQLite file a stack, so that any number of jobs fits and people can ask it too."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import msgspec

from adapters.postgres.comparison import Image
from core.ledger.notes import Note
from core.ledger.open_job import OpenJob
from core.ledger.outcome import Outcome
from core.ledger.verdicts import Verdict
from core.states import State
from penstock.demo.sent import SendOutcome
from schemas.ledger import FoldedEvent
from tests.chaos.case import Case, Hop, Letter, Submitted
from tests.chaos.effects import Effect
from tests.chaos.orders import Order, send_in
from tests.chaos.sent import Settled

_SCHEMA = """
create table if not exists sends (send integer primary key, intent blob, outcome text default 'unknown',
    partition int, offset int, job text, reason text);
create table if not exists records (round int, job text, partition int, offset int, at_ms int, send int,
    primary key (job, partition, offset)) without rowid;
create index if not exists records_send on records (send);
create table if not exists rejected (round int, partition int, offset int, at int, reason text, told blob,
    primary key (partition, offset, at)) without rowid;
create table if not exists events (round int, job text, partition int, offset int, at_ms int, raw blob,
    is_verdict int, holds int, state text, rank int, closed_n int, late int,
    was_open int, primary key (job, partition, offset)) without rowid;
create index if not exists events_workflow on events (raw ->> 'workflow_id')
    where is_verdict = 0 and raw ->> 'workflow_id' is not null;
create table if not exists letters (round int, job text, is_dead int, partition int, offset int, origin text,
    n int, attempt int, error_class text, message text,
    primary key (job, is_dead, partition, offset)) without rowid;
create table if not exists effects (round int, job text, seq int, kind text, dispatch int,
    attempt int, pid int, started int, at_boot_s real, at_ms int, outcome text,
    primary key (job, seq)) without rowid;
create table if not exists hops (round int, job text, n int, topic text, partition int, offset int,
    at_ms int, origin text, next text, primary key (job, topic, partition, offset)) without rowid;
create table if not exists rows (job text, name text, body blob, primary key (job, name)) without rowid;
create table if not exists fresh (job text, name text, body blob, primary key (job, name)) without rowid;
create table if not exists touched (job text primary key) without rowid;
"""
"""In the order in which cases are made: most ids begin with a time, so new facts go near each other."""
CACHE_KIB = 65_536
_ORDER = msgspec.json.Decoder(Order)
_EVENT: msgspec.json.Decoder[Verdict | Note] = msgspec.json.Decoder(Verdict | Note)
_ROW = msgspec.json.Decoder(dict[str, Any])


class Casebook:
    """Facts as they are gathered, round after round, and cases as they are asked for."""

    def __init__(self, path: Path) -> None:
        # Passed from one thread to another, never used by two at a time.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = off")
        self._db.execute("pragma synchronous = off")
        self._db.execute(f"pragma cache_size = -{CACHE_KIB}")
        self._db.executescript(_SCHEMA)
        self.round = 0

    def begin(self) -> None:
        """Begin a round: what is added from now on is what its cases are about."""
        self.round += 1

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write what is added inside in one go, whatever ends the block."""
        self._db.execute("begin")
        try:
            yield
        finally:
            self._db.execute("commit")

    def add(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        """Add facts of this round, to any table but ``sends`` and those of rows."""
        for chunk in _chunks([(self.round, *row) for row in rows]):
            places = ", ".join("?" * len(chunk[0]))
            self._db.executemany(f"insert or ignore into {table} values ({places})", chunk)

    def add_sends(self, orders: Sequence[Order], settled: Sequence[Settled]) -> None:
        """Add what was to be sent, and what became of sends."""
        encode = msgspec.json.encode
        self._db.executemany(
            "insert into sends (send, intent) values (?, ?)", [(one.send, encode(one)) for one in orders]
        )
        self._db.executemany(
            "update sends set outcome = ?, partition = ?, offset = ?, job = ?, reason = ? where send = ?",
            [(one.outcome, one.partition, one.offset, one.job_id, one.reason, one.send) for one in settled],
        )

    def add_fresh(self, rows: Iterable[tuple[str, str, bytes]]) -> None:
        """Add rows of the table as it stands now: job, name, body."""
        self._db.executemany("insert into fresh values (?, ?, ?)", rows)

    def fill_gaps(self, gaps: Sequence[tuple[int, int, int]]) -> None:
        """Make up records of ``jobs`` that were trimmed unread from what the pipeline says of them.

        What a record was sent as is known from its trace, or else from its acknowledgement; that alone is
        no sign that a record was there.

        Parameters
        ----------
        gaps
            Partition, first offset, and the offset after the last.
        """
        if not gaps:
            return
        told = self._db.execute(_TOLD).fetchall()
        places: dict[tuple[int, int], tuple[object, ...]] = {}
        for job, origin, trace_id, at_ms in told:
            _, partition, offset = str(origin).rsplit(":", 2)
            place = int(partition), int(offset)
            if any(part == place[0] and first <= place[1] < end for part, first, end in gaps):
                places.setdefault(place, (job, *place, at_ms, send_in(str(trace_id or ""))))
        self.add("records", places.values())
        self._db.execute(_SENDS_BY_PLACE)

    def finish(self) -> None:
        """End the round: replace the rows, and note which jobs it was about."""
        self._db.execute("begin")
        self._db.execute("delete from touched")
        for table in ("records", "events", "letters", "effects", "hops"):
            self._db.execute(
                f"insert or ignore into touched select job from {table} where round = ?",
                (self.round,),
            )
        for left, right in (("rows", "fresh"), ("fresh", "rows")):
            self._db.execute(
                "insert or ignore into touched select job from "
                f"(select job, name, body from {left} except select job, name, body from {right})"
            )
        # What is asked of a job of a workflow is asked of the others with it.
        self._db.execute(f"insert or ignore into touched {_IN_THE_SAME_WORKFLOWS}")
        self._db.execute("delete from rows")
        self._db.execute("insert into rows select * from fresh")
        self._db.execute("delete from fresh")
        self._db.execute("commit")

    def cases(self) -> Iterator[Case]:
        """Give every case of the last round, by job id; a second call gives them again."""
        streams = {name: _grouped(self._db.execute(query)) for name, query in _QUERIES.items()}
        heads = {name: next(stream, None) for name, stream in streams.items()}
        for (job,) in self._db.execute("select job from touched order by job"):
            parts: dict[str, list[tuple[Any, ...]]] = {}
            for name, stream in streams.items():
                head = heads[name]
                while head is not None and head[0] < job:
                    head = next(stream, None)
                parts[name] = head[1] if head is not None and head[0] == job else []
                heads[name] = head
            yield _case(str(job), parts)

    def touched(self) -> int:
        """Count the jobs the last round was about."""
        return int(self._db.execute("select count(*) from touched").fetchone()[0])

    def send_problems(self) -> list[tuple[int, str, int, str]]:
        """Give sends whose outcome does not fit the records found: send, outcome, records, place."""
        return self._db.execute(_SEND_PROBLEMS).fetchall()

    def last_ending(self, began_ms: int, healed_ms: int) -> int | None:
        """Give when the last plain job had ended that was submitted, or still open, between two times.

        Plain: it waits for no time of its own and fails by no fault of its own. Broker time.
        """
        found = self._db.execute(_LAST_ENDING, {"began": began_ms, "healed": healed_ms}).fetchone()[0]
        return None if found is None else int(found)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


_IN_THE_SAME_WORKFLOWS = """select job from events
    where is_verdict = 0 and raw ->> 'workflow_id' is not null and raw ->> 'workflow_id' in
    (select raw ->> 'workflow_id' from touched join events using (job)
    where is_verdict = 0 and raw ->> 'workflow_id' is not null)"""
_SEND_PROBLEMS = """select send, outcome, count(records.send) as found,
    'at ' || coalesce(sends.partition || '/' || sends.offset, 'no known place')
    || coalesce(': ' || nullif(sends.reason, ''), '')
    from sends left join records using (send) group by send
    having (outcome = 'ok' and found <> 1) or (outcome = 'failed' and found > 0) or found > 1
    or (outcome = 'ok' and (sends.partition, sends.offset) <>
    (max(records.partition), max(records.offset)))"""
_LAST_ENDING = """select max(ended) from (select max(events.at_ms) as ended, max(records.at_ms) as submitted
    from records join sends using (send) join events on events.job = records.job
    where records.round = (select max(round) from records) and records.at_ms < :healed
    and events.state in ('succeeded', 'dead', 'cancelled', 'expired')
    and intent -> 'options' ->> 'workflow_id' is null and intent -> 'options' ->> 'ordering_key' is null
    and intent ->> 'kind' in ('steady', 'thread')
    and intent -> 'options' ->> 'run_at' is null and intent -> 'options' ->> 'expires_at' is null
    group by records.job) where submitted >= :began or ended >= :began"""
_TOLD = """select job, raw ->> 'origin', raw ->> 'trace_id', at_ms from events
    where is_verdict = 0 and raw ->> 'kind' in ('ACCEPTED', 'REPEATED')
    union all select 'jobs/' || partition || '/' || offset, ':' || partition || ':' || offset, '', 0
    from rejected"""
_SENDS_BY_PLACE = """update records set send = (select send from sends where outcome = 'ok'
    and sends.partition = records.partition and sends.offset = records.offset) where send is null"""
# The touched ones lead, and every table is in their order: one seek a job, and nothing to sort.
_QUERIES = {
    "records": """select touched.job, records.partition, records.offset, records.at_ms, intent, outcome,
        rejected.reason, rejected.at from touched cross join records on records.job = touched.job
        left join sends using (send) left join rejected on
        records.partition = rejected.partition and records.offset = rejected.offset order by touched.job""",
    "events": """select job, partition, offset, at_ms, raw, is_verdict, holds, state, rank, closed_n, late,
        was_open from touched cross join events using (job) order by touched.job, partition, offset""",
    "effects": """select job, seq, kind, dispatch, attempt, pid, started, at_boot_s, at_ms, outcome
        from touched cross join effects using (job) order by touched.job, seq""",
    "letters": """select job, is_dead, partition, offset, origin, n, attempt, error_class, message
        from touched cross join letters using (job) order by touched.job, is_dead, partition, offset""",
    "hops": """select job, n, topic, partition, offset, at_ms, origin, next
        from touched cross join hops using (job) order by touched.job""",
    "rows": "select job, name, body from touched cross join rows using (job) order by touched.job",
}


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    for job, group in groupby(rows, itemgetter(0)):
        yield job, list(group)


def _chunks(rows: Sequence[tuple[object, ...]], size: int = 1000) -> Iterator[Sequence[tuple[object, ...]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _case(job: str, parts: dict[str, list[tuple[Any, ...]]]) -> Case:
    rows: Image = {name: _ROW.decode(body) for _, name, body in parts["rows"]}
    return Case(
        job,
        records=sorted((_submitted(*row) for row in parts["records"]), key=attrgetter("timestamp_ms")),
        events=[_event(*row) for row in parts["events"]],
        effects=sorted(
            (Effect(row[1], row[2], job, *row[3:]) for row in parts["effects"]), key=attrgetter("at_boot_s")
        ),
        letters=[Letter(bool(row[1]), *row[2:]) for row in parts["letters"]],
        hops=sorted((Hop(*row[1:]) for row in parts["hops"]), key=attrgetter("at_ms")),
        rows=rows,
    )


def _submitted(
    _job: str,
    partition: int,
    offset: int,
    at_ms: int,
    intent: bytes | None,
    outcome: str | None,
    reason: str | None,
    rejected_at: int | None,
) -> Submitted:
    order = None if intent is None else _ORDER.decode(intent)
    known = SendOutcome.UNKNOWN if outcome is None else SendOutcome(outcome)
    return Submitted(
        partition, offset, at_ms, order, known, reason, -1 if rejected_at is None else rejected_at
    )


def _event(
    job: str,
    partition: int,
    offset: int,
    at_ms: int,
    raw: bytes,
    is_verdict: int,
    holds: int,
    state: str | None,
    rank: int,
    closed_n: int,
    late: int,
    was_open: int,
) -> FoldedEvent:
    outcome = None
    if is_verdict:
        known = None if state is None else State(state)
        outcome = Outcome(bool(holds), known, rank, OpenJob(job) if was_open else None, closed_n, bool(late))
    return FoldedEvent(partition, offset, at_ms, _EVENT.decode(raw), outcome)
