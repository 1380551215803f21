"""The book of facts: one SQLite file a stack, so that any number of jobs fits and people can ask it too."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
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
from tests.chaos.case import Case, Letter, Submitted
from tests.chaos.effects import Effect
from tests.chaos.orders import Order
from tests.chaos.sent import Settled

_SCHEMA = """
create table if not exists sends (send integer primary key, intent blob, outcome text default 'unknown',
    partition int, offset int, job text, reason text);
create table if not exists records (round int, job text, partition int, offset int, at_ms int, send int);
create table if not exists rejected (round int, partition int, offset int, at int, reason text, told blob);
create table if not exists events (round int, job text, partition int, offset int, at_ms int, raw blob,
    is_verdict int, holds int, state text, rank int, closed_n int, late int,
    was_open int);
create table if not exists letters (round int, job text, is_dead int, partition int, offset int, origin text,
    n int, attempt int, error_class text, message text);
create table if not exists effects (round int, job text, seq integer primary key, kind text, dispatch int,
    attempt int, pid int, started int, at_boot_s real, at_ms int, outcome text);
create table if not exists rows (job text, name text, body blob);
create table if not exists fresh (job text, name text, body blob);
create table if not exists touched (job text primary key);
"""
_INDEXES = """
create index if not exists records_job on records (job);
create index if not exists records_send on records (send);
create index if not exists rejected_place on rejected (partition, offset);
create index if not exists events_job on events (job);
create index if not exists letters_job on letters (job);
create index if not exists effects_job on effects (job);
create index if not exists rows_job on rows (job);
"""
_ORDER = msgspec.json.Decoder(Order)
_EVENT: msgspec.json.Decoder[Verdict | Note] = msgspec.json.Decoder(Verdict | Note)
_ROW = msgspec.json.Decoder(dict[str, Any])


class Casebook:
    """Facts as they are gathered, round after round, and cases as they are asked for."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = off")
        self._db.execute("pragma synchronous = off")
        self._db.executescript(_SCHEMA)
        self.round = 0

    def begin(self) -> None:
        """Begin a round: what is added from now on is what its cases are about."""
        self.round += 1
        self._db.execute("begin")

    def add(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        """Add facts of this round to ``records``, ``rejected``, ``events``, ``letters`` or ``effects``."""
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

    def finish(self) -> None:
        """End the round: replace the rows, and note which jobs it was about."""
        for index in _INDEXES.split(";"):
            self._db.execute(index)
        self._db.execute("delete from touched")
        for table in ("records", "events", "letters", "effects"):
            self._db.execute(
                f"insert or ignore into touched select job from {table} where round = ?",
                (self.round,),
            )
        for left, right in (("rows", "fresh"), ("fresh", "rows")):
            self._db.execute(
                "insert or ignore into touched select job from "
                f"(select job, name, body from {left} except select job, name, body from {right})"
            )
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
    and intent ->> 'kind' in ('steady', 'thread')
    and intent -> 'options' ->> 'run_at' is null and intent -> 'options' ->> 'expires_at' is null
    group by records.job) where submitted >= :began or ended >= :began"""
_TOUCHED = "where job in (select job from touched) order by job"
_QUERIES = {
    "records": """select records.job, records.partition, records.offset, at_ms, intent, outcome,
        rejected.reason, rejected.at from records left join sends using (send) left join rejected on
        records.partition = rejected.partition and records.offset = rejected.offset
        where records.job in (select job from touched) order by records.job, records.at_ms""",
    "events": f"""select job, partition, offset, at_ms, raw, is_verdict, holds, state, rank, closed_n, late,
        was_open from events {_TOUCHED}, offset""",
    "effects": f"""select job, seq, kind, dispatch, attempt, pid, started, at_boot_s, at_ms, outcome
        from effects {_TOUCHED}, at_boot_s""",
    "letters": f"""select job, is_dead, partition, offset, origin, n, attempt, error_class, message
        from letters {_TOUCHED}, is_dead, offset""",
    "rows": f"select job, name, body from rows {_TOUCHED}",
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
        records=[_submitted(*row) for row in parts["records"]],
        events=[_event(*row) for row in parts["events"]],
        effects=[Effect(row[1], row[2], job, *row[3:]) for row in parts["effects"]],
        letters=[Letter(bool(row[1]), *row[2:]) for row in parts["letters"]],
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
