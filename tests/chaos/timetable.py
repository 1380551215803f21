"""Recurring schedules as people write them, and what was written, for the checkers."""

import asyncio
import secrets
from typing import Any

import msgspec

from adapters.kafka.appender import appending
from adapters.kafka.reader import reading
from core.log import TopicPartition
from core.schedules import CatchUp
from schemas.schedule_book import ScheduleBook, View
from schemas.schedule_edits import edited, ended
from schemas.schedules import Defined, Deleted, Plan, partition_of, schedule_record
from tests.chaos.history import History
from tests.chaos.orders import Kind
from tests.chaos.stack import Stack

WRITTEN = "schedule written"
"""In the history, each time: what is in force from ``at_ms``, the broker's time, on."""
POLL_S = 0.5
EVERY_OTHER_SECOND = "*/2 * * * * *"
"""The one cron expression here, so that what it means is known without reading any."""
CRON_EVERY_MS = 2_000


def plan_of(kind: Kind, run_s: float, fail_attempts: int = 0, **when: Any) -> Plan:
    """Make a plan whose jobs do this work."""
    payload = {"send": 0, "run_s": run_s, "fail_attempts": fail_attempts}
    job = {"type": f"chaos.{kind}", "payload": payload}
    return Plan(msgspec.Raw(msgspec.json.encode(job)), **when)


class Timetable:
    """The schedules of one stack."""

    def __init__(self, stack: Stack, history: History) -> None:
        self._stack = stack
        self._history = history

    def create(self, name: str, plan: Plan, catch_up: CatchUp) -> None:
        """Begin a schedule."""
        self._write(Defined(name, secrets.token_hex(8), 1, plan, catch_up, by="chaos"))

    def change(self, name: str, **changes: Any) -> None:
        """Change the plan of a schedule; what was due before is fired as it was."""
        view = self.view(name)
        plan = msgspec.structs.replace(view.defined.plan, **changes)
        self._write(edited(view, msgspec.structs.replace(view.defined, plan=plan)))

    def delete(self, name: str) -> None:
        """End a schedule; what was due and has not fired never does."""
        asyncio.run(self._append(ended(self.view(name), "chaos")))

    def view(self, name: str) -> View:
        """Read a schedule from its topic."""
        view = asyncio.run(self._read(name)).view(name)
        assert view is not None, f"schedule {name} is not in its topic"
        return view

    def _write(self, defined: Defined) -> None:
        at_ms = asyncio.run(self._append(defined))
        plan = defined.plan
        self._history.add(
            "note",
            WRITTEN,
            name=defined.name,
            at_ms=at_ms,
            every_ms=plan.every_ms or CRON_EVERY_MS,
            anchor_ms=plan.anchor_ms,
            paused=plan.paused,
            catch_up=str(defined.catch_up),
            overlap=str(plan.overlap),
        )

    async def _append(self, message: Defined | Deleted) -> int:
        async with appending(self._stack.kafka, client_id="chaos-schedules") as appender:
            (appended,) = await appender.append([schedule_record(self._stack.routes, message)])
            return appended.timestamp_ms

    async def _read(self, name: str) -> ScheduleBook:
        place = TopicPartition(self._stack.routes.schedules, partition_of(name))
        book = ScheduleBook()
        async with reading(self._stack.kafka, client_id="chaos-schedules") as reader:
            end = (await reader.end_offsets([place]))[place]
            await reader.assign(await reader.start_offsets([place]))
            while reader.position(place) < end:
                book.take(await reader.poll(POLL_S))
        return book
