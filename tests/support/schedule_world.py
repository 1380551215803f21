"""Firers that run step by step on a log in memory: each wait is a place to crash or to stand still.

Time is virtual and the log's own; each process is a coroutine that is advanced one wait at a time.
"""

import json
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

import msgspec

from core.log import Appended, NewRecord, Record, TopicPartition
from ports.log import Assignment, GroupMember
from ports.meter import Metric
from schemas.schedule_book import ScheduleBook, View
from schemas.schedule_edits import edited, ended, with_pause
from schemas.schedules import Defined, Deleted, Plan, forgotten_record, schedule_record
from schemas.topics import RouteMap
from services.scheduler.fire import Firer

ROUTES = RouteMap(partitions=2)
START_MS = 1_774_744_200_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Wait:
    def __await__(self) -> Generator[None, None, None]:
        yield


class Log:
    """Partitions of ``schedules`` and the jobs that were made; one broker, one clock."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.records: dict[int, list[Record]] = {}
        self.ends: dict[int, int] = {}
        self.jobs: list[dict[str, Any]] = []

    def append(self, new: NewRecord) -> Appended:
        if new.topic == ROUTES.jobs:
            self.jobs.append(json.loads(new.value or b""))
            return Appended(len(self.jobs) - 1, self.now_ms)
        offset = self.ends.get(new.partition, 0)
        self.ends[new.partition] = offset + 1
        record = Record(new.topic, new.partition, offset, self.now_ms, new.key, new.value, new.headers)
        self.records.setdefault(new.partition, []).append(record)
        return Appended(offset, self.now_ms)

    def compact(self) -> None:
        """Keep the last record of every key, as the broker does whenever it likes."""
        for partition, records in self.records.items():
            last = {record.key: record for record in records}
            self.records[partition] = sorted(last.values(), key=lambda record: record.offset)

    def book(self) -> ScheduleBook:
        book = ScheduleBook()
        for records in self.records.values():
            book.take(records)
        return book


class StepReader:
    """A ``PartitionReader`` of which every question takes a step; refuses what firing never asks."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._positions: dict[TopicPartition, int] = {}

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        await _Wait()
        self._positions = {place: self._positions.get(place, at) for place, at in positions.items()}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        raise NotImplementedError

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        raise NotImplementedError

    async def poll(self, timeout_s: float, max_records: int = 5000) -> list[Record]:
        await _Wait()
        found: list[Record] = []
        for place, position in self._positions.items():
            some = [one for one in self._log.records.get(place.partition, []) if one.offset >= position]
            some = some[:max_records]
            found += some
            end = self._log.ends.get(place.partition, 0)
            self._positions[place] = some[-1].offset + 1 if len(some) == max_records else end
        return found

    def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def known_end(self, partition: TopicPartition) -> int:
        raise NotImplementedError

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await _Wait()
        ends = {place: self._log.ends.get(place.partition, 0) for place in partitions}
        await _Wait()
        return ends

    async def start_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await _Wait()
        return dict.fromkeys(partitions, 0)

    async def close(self) -> None:
        raise NotImplementedError


class StepAppender:
    """An ``Appender`` that lets somebody crash before, within and after a batch."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        places = []
        for record in records:
            await _Wait()
            places.append(self._log.append(record))
        await _Wait()
        return places


class _Owner:
    """A member that believes to own everything, always."""

    assignment = Assignment(1, frozenset(range(ROUTES.partitions)))


class _Silent:
    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None: ...

    def gauge(self, metric: Metric, value: float, **labels: str) -> None: ...

    def observe(self, metric: Metric, value: float, **labels: str) -> None: ...


class Process:
    """One scheduler; its estimate of the broker's time is behind by ``behind_ms``, never ahead."""

    def __init__(self, log: Log, behind_ms: int) -> None:
        self._firer = Firer(
            routes=ROUTES,
            reader=StepReader(log),
            ends=StepReader(log),
            appender=StepAppender(log),
            member=cast("GroupMember", _Owner()),
            meter=_Silent(),
            now_ms=lambda: log.now_ms - behind_ms,
        )
        self._turn: Coroutine[Any, Any, None] | None = None

    def step(self) -> bool:
        """Go on to the next wait; say whether a turn has ended."""
        if self._turn is None:
            self._turn = self._firer.turn()
        try:
            self._turn.send(None)
        except StopIteration:
            self._turn = None
            return True
        return False

    def crash(self) -> None:
        if self._turn is not None:
            self._turn.close()


class Valid(NamedTuple):
    """A tick that there is, by the history of its schedule."""

    at_ms: int
    plan: int
    """Number of the plan, which its jobs carry as payload."""


class Operator:
    """People who change schedules, and the history of all they did."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._plans = 0
        self.history: dict[str, list[tuple[int, Plan | None]]] = {}
        """By incarnation: append time and plan; None is the end."""

    def view(self, name: str) -> View | None:
        return self._log.book().view(name)

    def plan(self, **timing: Any) -> Plan:
        self._plans += 1
        return Plan(job=msgspec.Raw(b'{"type":"t","payload":%d}' % self._plans), **timing)

    def create(self, defined: Defined) -> None:
        self._write(defined)

    def edit(self, view: View, plan: Plan) -> None:
        self._write(edited(view, msgspec.structs.replace(view.defined, plan=plan)))

    def pause(self, view: View, *, paused: bool) -> None:
        self._write(with_pause(view, paused=paused, by="test"))

    def delete(self, view: View) -> None:
        self._write(ended(view, "test"))
        self._log.append(forgotten_record(ROUTES, view.defined.name, view.defined.incarnation))

    def _write(self, message: Defined | Deleted) -> None:
        at_ms = self._log.append(schedule_record(ROUTES, message)).timestamp_ms
        plan = message.plan if isinstance(message, Defined) else None
        self.history.setdefault(message.incarnation, []).append((at_ms, plan))

    def valid(
        self, incarnation: str, until_ms: int, ticks: Callable[[Plan, int, int], list[int]]
    ) -> list[Valid]:
        """Give all ticks by what was in force when."""
        found: list[Valid] = []
        history = self.history[incarnation]
        for number, (since_ms, plan) in enumerate(history):
            end_ms = history[number + 1][0] if number + 1 < len(history) else until_ms
            if plan is not None:
                found += [
                    Valid(at_ms, int(json.loads(bytes(plan.job))["payload"]))
                    for at_ms in ticks(plan, since_ms, end_ms)
                ]
        return found

    def was_paused(self, incarnation: str) -> bool:
        return any(plan is not None and plan.paused for _, plan in self.history[incarnation])

    def is_live(self, incarnation: str) -> bool:
        return self.history[incarnation][-1][1] is not None


def tick_of(job: dict[str, Any]) -> int:
    """Give the tick a job is of."""
    return (datetime.fromisoformat(job["labels"]["tick"]) - EPOCH) // timedelta(milliseconds=1)
