"""Looks up what ``penstock why`` needs to know, by state; says what cannot be found out, and goes on."""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from core.buckets import BUCKETS
from core.dependencies import circuit_of
from core.learning.law import OLDEST_SHARE, law_of
from core.ledger.notes import Queued, Waiting
from core.priority import PriorityRule
from core.states import State
from core.subjects import Cause, HeldFor, JobNames
from penstock.cli import why_log, why_model, why_rows
from penstock.cli.connect import Connections
from penstock.cli.console import EXPECTED, explain
from penstock.cli.executors import known_executors
from penstock.cli.holds import standing_orders
from penstock.cli.models import read_book
from penstock.cli.queries import Database, Rows, attempts_of
from penstock.cli.why_known import Known
from penstock.cli.why_queue import Seen, lanes_before, view_of
from penstock.cli.why_words import HELD_GATES
from schemas.codec import encode

T = TypeVar("T")
LOOKUP_WITHIN_S = 40.0
"""Of one question; longer than what the database and the broker are given."""


class Asker:
    """Asks table and log about one job."""

    def __init__(self, where: Connections, database: Database, job: dict[str, Any]) -> None:
        self._where = where
        self._database = database
        self._known = Known(job | {"job_id": str(job["job_id"])}, [], datetime.now(UTC))

    async def known(self) -> Known:
        """Look up what its state asks for."""
        known, job = self._known, self._known.job
        known.attempts = await attempts_of(self._database, job["job_id"])
        match State(job["state"]):
            case State.QUEUED:
                await self._queued()
            case State.WAITING:
                await self._waiting()
            case State.RUNNING:
                await self._running()
            case State.RETRYING:
                await self._retrying()
            case State.SKIPPED:
                await self._parents()
            case _:
                pass
        return known

    async def _try(self, what: str, question: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(LOOKUP_WITHIN_S):
                return await question
        except EXPECTED as error:
            self._known.not_known.append(f"{what}: {explain(error)}")
            return None

    async def _answer(self, question: why_rows.Question) -> Rows:
        return await why_rows.answer(self._database, question)

    async def _orders(self) -> None:
        self._known.orders = await self._try("what is paused or limited", standing_orders(self._where))

    async def _executors(self) -> None:
        self._known.executors = await self._try("who runs jobs", known_executors(self._where))

    async def _queued(self) -> None:
        known, job = self._known, self._known.job
        await self._orders()
        if job["updated_at"] != job["queued_at"]:
            await self._newest_place()
        if known.held_for is not None:
            await self._held()
            return
        heads = self._try("where the executors are", why_log.lane_heads(self._where, job["pool"]))
        _, found = await asyncio.gather(self._executors(), heads)
        if job["ready_at"] is None or job["bucket"] is None:
            return
        if "inherited" in (job["score_parts"] or {}):
            await self._waiters()
        await self._reasons()
        await self._place(found)

    async def _reasons(self) -> None:
        known = self._known
        question = why_model.scored_of(self._database, known.job["job_id"])
        known.scored = await self._try("what it was scored by", question)
        if known.scored is not None and known.scored.candidate is not None:
            known.reasons = await self._try(
                "the reasons of its model", why_model.reasons_of(self._where, known.scored)
            )

    async def _per_decade_s(self) -> float:
        """Give the head start per factor ten of cost by the law of its pool, as the executors have it."""
        rule = PriorityRule(per_decade_s=self._where.head_start_per_decade_s)
        book = await self._try("the law of its pool", read_book(self._where))
        spread = None if book is None else book.law(self._known.job["pool"])
        return law_of(spread, rule, OLDEST_SHARE).rule.per_decade_s

    async def _newest_place(self) -> None:
        """Find what was said of a queued job after the row's place in the queue.

        The row has the first place of a dispatch. One that was held meanwhile, or inherited, has another.
        """
        job = self._known.job
        note = await self._try(
            "its newest place in the queue", why_log.last_note(self._where, job["job_id"], job["updated_at"])
        )
        match note:
            case Queued():
                job["bucket"], job["head_start_s"] = note.bucket, note.head_start_s
                job["score_parts"], job["predicted_run_s"] = note.score_parts, note.predicted_run_s
                job["ready_at"] = datetime.fromtimestamp(note.ready_ms / 1000, UTC)
            case Waiting(on=on) if on in HELD_GATES:
                self._known.held_for = self._held_for(on)
            case _:
                pass

    def _held_for(self, on: str | None) -> str | None:
        """Say which pause, limit or circuit it is, by what is ordered now; None: none any more."""
        orders, job = self._known.orders, self._known.job
        subjects = JobNames(job["type"], job["tenant"], job["pool"], self._circuit())
        if orders is None:
            return None
        if on == Cause.PAUSE:
            held_for = orders.pause_of(subjects)
            return None if held_for is None else str(held_for)
        limited = orders.limits_of(subjects)
        return str(HeldFor(Cause.LIMIT, limited[0])) if limited else None

    def _circuit(self) -> str:
        """Name its circuit, as far as the payload in the table says it."""
        payload = self._known.job.get("payload")
        return circuit_of(self._known.job["type"], encode(payload))

    async def _held(self) -> None:
        known = self._known
        if known.held_for is not None:
            question = why_log.held_place(self._where, known.job["job_id"], known.held_for)
            known.held = await self._try("its place among those held", question)

    async def _waiters(self) -> None:
        """Find what waits for it."""
        job = self._known.job
        children = await self._try("what waits for it", why_rows.children_of(self._database, job))
        self._known.children = children or ()
        if job["ordering_key"] is not None:
            await self._key()

    async def _key(self) -> None:
        question = why_log.key_place(self._where, self._known.job)
        self._known.key = await self._try("its ordering key", question)

    async def _place(self, heads: dict[int, why_log.Heads] | None) -> None:
        known, job = self._known, self._known.job
        per_decade_s = await self._per_decade_s()
        oldest = None if heads is None else {bucket: one.oldest for bucket, one in heads.items()}
        lanes = lanes_before(job, oldest, per_decade_s)
        # The start is counted from when the work before it was.
        known.now = datetime.now(UTC)
        ahead = await self._try("what is before it", self._answer(why_rows.ahead_question(job, lanes)))
        if ahead is None:
            return
        taken_until = dict.fromkeys(range(BUCKETS), job["ready_at"])
        taken_until |= {bucket: one.newest for bucket, one in (heads or {}).items()}
        known.recent = await self._try(
            "what ran last", self._answer(why_rows.taken_question(job["pool"], taken_until))
        )
        since = known.now - timedelta(seconds=why_rows.ARRIVALS_WITHIN_S)
        arrivals = await self._try(
            "what arrives",
            self._answer(why_rows.arrivals_question(job["pool"], range(job["bucket"]), since)),
        )
        seen = Seen(ahead, known.recent, arrivals, known.executors, known.orders)
        known.queue = view_of(job, seen, known.now, per_decade_s)

    async def _waiting(self) -> None:
        known, job = self._known, self._known.job
        match job["waiting_on"]:
            case "parents":
                await self._parents()
            case "order":
                await self._key()
            case "pause" | "limit" | "circuit" as on:
                await self._orders()
                known.held_for = self._held_for(on)
                await self._held()
            case _:
                pass

    async def _parents(self) -> None:
        question = why_rows.parents_of(self._database, self._known.job)
        self._known.parents = await self._try("the jobs it depends on", question)

    async def _running(self) -> None:
        known, job = self._known, self._known.job
        await self._executors()
        if job["bucket"] is not None and job["ready_at"] is not None:
            until: Mapping[int, datetime] = {job["bucket"]: job["ready_at"]}
            question = self._answer(why_rows.taken_question(job["pool"], until))
            known.recent = await self._try("how long such jobs take", question)

    async def _retrying(self) -> None:
        known, job = self._known, self._known.job
        if not known.attempts:
            return
        last = known.attempts[-1]
        if last["signature"] is not None:
            question = why_rows.kind_of(self._database, last["signature"])
            known.kind = next(iter(await self._try("which failure it is", question) or ()), None)
        if last["decision"] is not None:
            question = why_rows.choice_of(self._database, job["job_id"], last["n"])
            known.choice = next(iter(await self._try("how its delay was chosen", question) or ()), None)
        if last["dlq_offset"] is not None and last["dlq_offset"] >= 0:
            letter = why_log.letter(self._where, job["job_id"], last["dlq_offset"])
            known.letter = await self._try("its record in jobs.dlq", letter)
