"""A simulated log, and processes whose coroutines stop wherever the real ones wait for the log.

The steps under test are the services' own ``async`` methods. Nothing here runs an event loop: a
coroutine is sent forward by hand, stops at its append, and goes on in a later step of the walk, or
never when its process is killed in between.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from random import Random

from core.log import Appended, NewRecord, Record


class TrimmedError(Exception):
    """A record was read that is not in the log any more."""


class Log:
    """Topics of one partition each; the broker's clock stands until somebody moves it."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.topics: dict[str, list[Record]] = {}
        self.starts: dict[str, int] = {}
        self.landed: Callable[[Record], None] = lambda _record: None

    def append(self, new: NewRecord) -> Appended:
        records = self.topics.setdefault(new.topic, [])
        record = Record(
            new.topic, new.partition, len(records), self.now_ms, new.key, new.value, tuple(new.headers)
        )
        records.append(record)
        self.landed(record)
        return Appended(record.offset, record.timestamp_ms)

    def trim(self, topic: str, before: int) -> None:
        """Let the records below an offset go; a start never moves back."""
        self.starts[topic] = max(before, self.starts.get(topic, 0))

    def at(self, topic: str, offset: int) -> Record:
        """Give one record."""
        if offset < self.starts.get(topic, 0):
            raise TrimmedError(f"{topic}/{offset}: the log begins at {self.starts[topic]}")
        return self.topics[topic][offset]

    def read(self, topic: str, start: int, count: int = 1_000_000) -> list[Record]:
        if start < self.starts.get(topic, 0):
            raise TrimmedError(f"{topic}/{start}: the log begins at {self.starts[topic]}")
        return self.topics.get(topic, [])[start : start + count]

    def end(self, topic: str) -> int:
        return len(self.topics.get(topic, ()))


@dataclass(eq=False)
class Landing:
    """An append under way; done when every record has its place."""

    records: Sequence[NewRecord]
    places: dict[int, Appended] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return len(self.places) == len(self.records)

    def __await__(self) -> Generator["Landing", None, list[Appended]]:
        yield self
        return [self.places[index] for index in range(len(self.records))]


@dataclass(eq=False)
class Task:
    name: str
    steps: Coroutine[Landing, None, object]
    landing: Landing


Lane = deque[tuple[Landing, int]]
"""What one process has sent to one topic, in order; a producer keeps that order."""


class Process:
    """One process: its coroutines, and what it has sent that has not landed. Is its own ``Appender``."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.tasks: list[Task] = []
        self.lanes: dict[str, Lane] = {}

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        return await Landing(list(records)) if records else []

    def spawn(self, name: str, steps: Coroutine[Landing, None, object]) -> None:
        self._advance(name, steps)

    def is_busy(self, name: str) -> bool:
        return any(task.name == name for task in self.tasks)

    def _advance(self, name: str, steps: Coroutine[Landing, None, object]) -> None:
        try:
            landing = steps.send(None)
        except StopIteration:
            return
        for index, record in enumerate(landing.records):
            self.lanes.setdefault(record.topic, deque()).append((landing, index))
        self.tasks.append(Task(name, steps, landing))

    def land(self, random: Random) -> bool:
        """Let some of what was sent to one topic land."""
        lanes = [lane for lane in self.lanes.values() if lane]
        if not lanes:
            return False
        lane = random.choice(lanes)
        for _ in range(random.randint(1, len(lane))):
            landing, index = lane.popleft()
            landing.places[index] = self.log.append(landing.records[index])
        return True

    def go_on(self, random: Random) -> bool:
        """Let one coroutine hear that its append is done, and run to its next wait."""
        ready = [task for task in self.tasks if task.landing.is_done]
        if not ready:
            return False
        task = random.choice(ready)
        self.tasks.remove(task)
        self._advance(task.name, task.steps)
        return True

    def settle(self, random: Random) -> None:
        """Let everything land and everybody hear of it."""
        while self.land(random) or self.go_on(random):
            pass

    def unlanded(self) -> list[tuple[str, deque[NewRecord]]]:
        """Give what was sent and has not landed, by topic."""
        return [
            (topic, deque(landing.records[index] for landing, index in lane))
            for topic, lane in self.lanes.items()
            if lane
        ]

    def die(self) -> list[deque[NewRecord]]:
        """End; what was sent and has not landed may still do so, without anybody hearing of it."""
        for task in self.tasks:
            task.steps.close()
        self.tasks = []
        ghosts = [ghost for _, ghost in self.unlanded()]
        self.lanes = {}
        return ghosts


@dataclass
class Group:
    """A consumer group of one partition number: who owns it, and the offsets committed for it."""

    owner: int = 0
    generation: int = 1
    committed: dict[str, int] = field(default_factory=dict)

    def rebalance(self, members: int) -> None:
        self.owner = (self.owner + 1) % members
        self.generation += 1

    def commit(self, member: int, generation: int, positions: dict[str, int]) -> bool:
        """Move committed offsets, unless the member has lost the partition since."""
        if member != self.owner or generation != self.generation:
            return False
        for topic, offset in positions.items():
            self.committed[topic] = max(offset, self.committed.get(topic, 0))
        return True


class NoMeter:
    """Measures nothing."""

    def count(self, *_args: object, **_labels: object) -> None: ...

    def gauge(self, *_args: object, **_labels: object) -> None: ...

    def observe(self, *_args: object, **_labels: object) -> None: ...
