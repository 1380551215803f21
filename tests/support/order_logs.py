"""Logs of the order gate for tests, and the gate's law said once more, the slow way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from hypothesis import strategies as st

from core.gates.ended import ENDED_KIND, ENTERED_KIND, Ended
from core.gates.fold import Boosts, Effect, Passed, Skips
from core.gates.order_gate import RELEASED_KIND, KeyReleased, OnBusy
from core.log import Record
from core.states import State
from core.urgency import Urgency
from tests.support.verdicts import EPOCH

TENANT = "t"
ALWAYS = 1_000_000
MINUTE_MS = 60_000
"""Every record of these logs comes a minute after the one before."""
PLAIN = Urgency(5)


class Entered(NamedTuple):
    """Job ``number`` enters as dispatch ``n``."""

    number: int
    key: str
    n: int = 1
    skips: bool = False
    urgency: Urgency = PLAIN


class End(NamedTuple):
    """Job ``number`` ends with dispatch ``n``."""

    number: int
    n: int
    state: State
    blocks: bool = False


class Unblock(NamedTuple):
    """A person releases a key that job ``number`` blocks."""

    key: str
    number: int


Event = Entered | End | Unblock


def origin(number: int) -> str:
    """The origin of a job of these tests."""
    return f"{EPOCH}:{number % 2}:{number}"


def record(offset: int, event: Event) -> Record:
    """The record of an event, as it stands in the gate's log."""
    match event:
        case Entered():
            job = {"origin": origin(event.number), "job_id": f"j{event.number}", "tenant": TENANT}
            busy = OnBusy.SKIP if event.skips else OnBusy.WAIT
            more = {"ordering_key": event.key, "n": event.n, "on_busy": busy, "payload": {"a": 1}}
            urgency = event.urgency._asdict()
            return _record(offset, ENTERED_KIND, msgspec.json.encode(job | more | urgency))
        case End():
            told = Ended(
                origin(event.number), f"j{event.number}", event.n, event.state, 0, 7, blocks=event.blocks
            )
            return _record(offset, ENDED_KIND, msgspec.json.encode(told))
        case Unblock():
            told_by = KeyReleased(TENANT, event.key, origin(event.number), "test")
            return _record(offset, RELEASED_KIND, msgspec.json.encode(told_by))


def _record(offset: int, kind: bytes, value: bytes) -> Record:
    return Record("jobs.orders", 0, offset, offset * MINUTE_MS, None, value, (("kind", kind),))


class InLine(NamedTuple):
    """A job in the line of its key."""

    number: int
    n: int
    offset: int
    urgency: Urgency = PLAIN


@dataclass
class NaiveGate:
    """The order gate as one would say it: a line a key, whose first one runs or blocks."""

    ended: dict[int, int] = field(default_factory=dict)
    """Last dispatch by job; ``ALWAYS`` for one that succeeded."""
    lines: dict[str, list[InLine]] = field(default_factory=dict)
    blocked: dict[str, int] = field(default_factory=dict)
    """The dead job a key waits for; its line then holds only jobs that wait."""
    known: dict[str, Urgency] = field(default_factory=dict)
    """By key, how urgent its running job was said to be."""

    def take(self, offset: int, event: Event) -> list[Effect]:
        """Fold one event; give who passes, who is skipped, and who becomes more urgent."""
        before = {key: self._runs(key) for key in self.lines}
        lines = {key: list(line) for key, line in self.lines.items()}
        effects = self._apply(offset, event)
        for key, line in self.lines.items():
            runs = self._runs(key)
            if runs is None:
                continue
            came = [one for one in line if one not in lines.get(key, ()) and one != runs]
            if runs != before.get(key):
                behind = [one for one in line if one != runs and one not in came]
                self.known[key] = _most([runs, *behind])
                more = self.known[key] != runs.urgency
                effects.append(Passed(runs.offset, inherits=self.known[key] if more else None))
            for one in came:
                raised = _raised(self.known[key], one.urgency, offset * MINUTE_MS)
                if raised != self.known[key]:
                    self.known[key] = raised
                    effects.append(Boosts(runs.offset, raised))
        return effects

    def _runs(self, key: str) -> InLine | None:
        line = self.lines.get(key)
        return line[0] if line and key not in self.blocked else None

    def _apply(self, offset: int, event: Event) -> list[Effect]:
        match event:
            case Entered():
                return self._enter(offset, event)
            case End():
                self._end(event)
            case Unblock():
                if self.blocked.get(event.key) == event.number:
                    del self.blocked[event.key]
        return []

    def _enter(self, offset: int, event: Entered) -> list[Effect]:
        known = self._in_line(event.number)
        if known is not None and known.n >= event.n:
            return []
        last = self.ended.get(event.number)
        if last is not None and event.n != last + 1:
            return []
        self.ended.pop(event.number, None)
        self._drop(event.number)
        line = self.lines.setdefault(event.key, [])
        if self.blocked.get(event.key) == event.number:
            del self.blocked[event.key]
            line.insert(0, InLine(event.number, event.n, offset, event.urgency))
            return []
        if event.skips and event.n == 1 and (line or event.key in self.blocked):
            self.ended[event.number] = event.n
            return [Skips(offset, "its ordering key is busy (on_busy=skip)")]
        line.append(InLine(event.number, event.n, offset, event.urgency))
        return []

    def _end(self, event: End) -> None:
        known = self._in_line(event.number)
        if known is not None and event.n < known.n:
            return
        if self.ended.get(event.number, 0) >= event.n:
            return
        self.ended[event.number] = ALWAYS if event.state is State.SUCCEEDED else event.n
        for key, line in self.lines.items():
            ran = self._runs(key)
            if ran is not None and ran.number == event.number and event.blocks:
                self.blocked[key] = event.number
            if self.blocked.get(key) == event.number and not event.blocks:
                del self.blocked[key]
            self.lines[key] = [one for one in line if one.number != event.number]

    def _in_line(self, number: int) -> InLine | None:
        return next((one for line in self.lines.values() for one in line if one.number == number), None)

    def _drop(self, number: int) -> None:
        for key, line in self.lines.items():
            self.lines[key] = [one for one in line if one.number != number]


def _most(jobs: Sequence[InLine]) -> Urgency:
    deadlines = [one.urgency.deadline_ms for one in jobs if one.urgency.deadline_ms is not None]
    return Urgency(max(one.urgency.priority for one in jobs), min(deadlines, default=None))


def _raised(known: Urgency, by: Urgency, now_ms: int) -> Urgency:
    priority, deadline = max(known.priority, by.priority), known.deadline_ms
    if by.deadline_ms is not None and by.deadline_ms <= now_ms + 50 * MINUTE_MS:
        counted = max(now_ms, by.deadline_ms)
        if deadline is None or deadline - counted >= 10 * MINUTE_MS:
            deadline = counted
    return Urgency(priority, deadline)


NUMBERS = st.integers(0, 5)
KEYS = ("a", "b")
URGENCIES = st.builds(
    Urgency, st.integers(0, 9), st.none() | st.integers(0, 150).map(lambda minutes: minutes * MINUTE_MS)
)
STATES = st.sampled_from([State.SUCCEEDED, State.DEAD, State.CANCELLED, State.EXPIRED])


def key_of(number: int) -> str:
    """A job keeps its key."""
    return KEYS[number % 2]


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Anything that may ever stand in the log, in any order, any number of times."""
    number = draw(NUMBERS)
    match draw(st.integers(0, 6)):
        case 0 | 1 | 2:
            n, urgency = draw(st.integers(1, 3)), draw(URGENCIES)
            return Entered(number, key_of(number), n, skips=number == 5, urgency=urgency)
        case 3 | 4 | 5:
            state = draw(STATES)
            blocks = state is State.DEAD and draw(st.booleans())
            return End(number, draw(st.integers(1, 3)), state, blocks)
        case _:
            return Unblock(key_of(number), number)


def _step(gate: NaiveGate, log: list[Event], choice: int, number: int, state: State) -> Event:
    """Choose what may well come next: mostly what changes something, and now and then a repetition."""
    key = key_of(number)
    running = gate.lines.get(key) or []
    match choice:
        case 0 if log:
            return log[number % len(log)]
        case 1 | 2 if key in gate.blocked:
            dead = gate.blocked[key]
            return Entered(dead, key_of(dead), gate.ended[dead] + 1)
        case 3 if key in gate.blocked:
            return Unblock(key, gate.blocked[key])
        case 1 | 2 | 3 | 4 if running:
            return End(running[0].number, running[0].n, state, blocks=state is State.DEAD and choice < 3)
        case 5 if 0 < gate.ended.get(number, 0) < ALWAYS:
            return Entered(number, key, gate.ended[number] + 1, skips=number >= 6)
        case 6:
            return End(number, 1, State.CANCELLED)
        case _:
            return Entered(number, key, skips=number >= 6)


@st.composite
def likely_logs(draw: st.DrawFn) -> list[Event]:
    """Logs in which keys get busy, blocked, redriven and free again."""
    steps = st.tuples(st.integers(0, 11), st.integers(0, 7), STATES)
    gate, log = NaiveGate(), list[Event]()
    for choice, number, state in draw(st.lists(steps, max_size=40)):
        event = _step(gate, log, choice, number, state)
        gate.take(len(log), event)
        log.append(event)
    return log


def naive_effects(log: Sequence[Event]) -> list[list[Effect]]:
    """Give what the slow gate lets pass, skips and makes more urgent at each record."""
    gate = NaiveGate()
    return [gate.take(offset, event) for offset, event in enumerate(log)]


def without_notes(effects: Iterable[Effect]) -> list[Effect]:
    """Leave out what only tells."""
    return [effect for effect in effects if isinstance(effect, Passed | Skips | Boosts)]
