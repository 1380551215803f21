"""What a load submits: an endless, seeded mix of jobs and of records that are none."""

import base64
import random
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec

from penstock.demo.malformed import MALFORMED
from tests.chaos.flows import draw_flow

SECRET_MARK = "pstk-secret-"
"""Every planted secret begins so; nothing else in the pipeline does."""
TRACE_HEADER = "traceparent"
"""Carries the number of the send: the one header the client passes on, and no part of the body, so that a
repeat may have another."""
_TRACE_MARK = "c4a05c4a05"
ORDERING_KEYS = 5
KEPT_KEYS = 50
"""Keys of late that a repeat may name."""
OF_BEGUN = 0.7
"""Draws that go on with a workflow that was begun."""
SPAWNING = 0.2
"""Steady jobs of a workflow that add jobs to it."""
SPAWNED_MAX = 3
UNHEEDING_RUN_S = (1.0, 3.0)
"""Work that does not mind is cancelled so long after it was submitted, when most of it runs."""


HOSTILE: tuple[bytes, ...] = (
    b"\x00",
    b"{",
    b"[" * 100_000,
    b'{"type":"email.send","payload":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    b'{"type":"email.send","payload":' + b"9" * 200_000 + b"}",
    b'{"type":"email.send","payload":"\xed\xa0\x80"}',
    b'{"type":"email.send","payload":1e999}',
    b'{"type":"email.send","priority":"' + b"9" * 5_000 + b'"}',
    b'{"type":"' + b"a" * 300_000 + b'"}',
    b" " * 500_000,
    b"\x00" * 1_500_000,
)
"""Records that mean harm: deep, long, empty, or (the last) more than a broker takes."""


class Kind(StrEnum):
    """How the work of a job goes; ``POISON`` is a record that is no job."""

    STEADY = "steady"
    THREAD = "thread"
    FLAKY = "flaky"
    FAILING = "failing"
    SLOW = "slow"
    CRASH = "crash"
    HEAVY = "heavy"
    BLOCKING = "blocking"
    STUBBORN = "stubborn"
    """Goes on when it is cancelled, in the worker's event loop."""
    DEAF = "deaf"
    """The same, in a thread."""
    POISON = "poison"


UNHEEDING = frozenset({Kind.STUBBORN, Kind.DEAF})
"""All of it is cancelled while it runs."""


class Way(StrEnum):
    """How a record gets into the topic."""

    CLIENT = "client"
    RAW = "raw"


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record to send, and what is meant to become of it."""

    send: int
    kind: Kind
    way: Way
    payload: dict[str, Any] = {}
    options: dict[str, Any] = {}
    """Members of the job beside type and payload."""
    poison_base64: str | None = None
    """The bytes of a record that is no job; None with ``POISON`` is a null record."""
    cancel_after_s: float | None = None
    repeats: int | None = None
    """The send whose key or id this one uses again, body and all."""

    @property
    def type(self) -> str:
        """The task."""
        return f"chaos.{self.kind}"

    @property
    def is_named(self) -> bool:
        """Whether the producer names the job, so that repeats of it are found."""
        return bool({"idempotency_key", "job_id"} & self.options.keys())

    @property
    def is_awaited(self) -> bool:
        """Whether other jobs may wait for this one to be submitted."""
        return "workflow_id" in self.options

    @property
    def traceparent(self) -> str:
        """A trace context that holds the number of this send."""
        return f"00-{_TRACE_MARK}{self.send:022x}-{1:016x}-01"

    @property
    def members(self) -> dict[str, Any]:
        """The job as a producer writes it."""
        return {"type": self.type, "payload": self.payload, **self.options}

    @property
    def value(self) -> bytes | None:
        """The bytes of the record."""
        if self.kind is not Kind.POISON:
            return msgspec.json.encode(self.members)
        return None if self.poison_base64 is None else base64.b64decode(self.poison_base64)


@dataclass(frozen=True)
class Mix:
    """Shares of what is sent, each of the whole; what is left is steady."""

    kinds: Mapping[Kind, float] = field(
        default_factory=lambda: MappingProxyType(
            {Kind.THREAD: 0.15, Kind.FLAKY: 0.06, Kind.FAILING: 0.02, Kind.SLOW: 0.03, Kind.POISON: 0.01}
        )
    )
    raw: float = 0.4
    keyed: float = 0.15
    supplied: float = 0.05
    repeated: float = 0.05
    due: float = 0.05
    expiring: float = 0.01
    cancelled: float = 0.03
    secret: float = 0.1
    ordered: float = 0.0
    """Jobs with one of a few ordering keys."""
    workflows: float = 0.0
    """Draws that begin a whole workflow, of some ten jobs."""
    hostile: float = 0.0
    """Of the records that are no job: so many are meant to hurt."""
    slow_s: tuple[float, float] = (1.0, 4.0)
    """How long slow work takes, at least and at most."""
    unheeding_s: tuple[float, float] = (20.0, 30.0)
    """How long work takes that does not mind being cancelled: longer than anybody waits for it."""


class Orders:
    """Draws orders; equal seeds give equal orders but for the times in them."""

    def __init__(self, seed: int, mix: Mix, first_send: int) -> None:
        self._rng = random.Random(f"orders {seed} {first_send}")
        self._mix = mix
        self._send = first_send
        self._named: list[Order] = []
        self._begun: deque[dict[str, Any]] = deque()
        """Jobs of workflows of which others were drawn already."""

    def __iter__(self) -> Iterator[Order]:
        return self

    def __next__(self) -> Order:
        return self._noted(self._draw())

    def _noted(self, order: Order) -> Order:
        self._send += 1
        if order.repeats is None and order.is_named:
            self._named = [*self._named[1 - KEPT_KEYS :], order]
        return order

    def rest(self) -> list[Order]:
        """Give what is left of workflows that were begun: others of them wait for it."""
        return [self._noted(self._step()) for _ in range(len(self._begun))]

    def again(self, order: Order) -> Order:
        """Make the order that repeats one whose outcome is not known; only named jobs may be repeated."""
        self._send += 1
        return msgspec.structs.replace(order, send=self._send - 1, repeats=order.send, cancel_after_s=None)

    def keyed(self) -> Order:
        """Make an order with an idempotency key that was not drawn."""
        order = self.extra(Kind.STEADY, 0.0)
        return msgspec.structs.replace(
            order, options={**order.options, "idempotency_key": f"key-{order.send}"}
        )

    def extra(self, kind: Kind, run_s: float) -> Order:
        """Make an order that was not drawn."""
        self._send += 1
        payload = {"send": self._send - 1, "run_s": run_s}
        return Order(self._send - 1, kind, Way.CLIENT, payload, {"priority": 9})

    def _draw(self) -> Order:
        rng, mix = self._rng, self._mix
        if self._begun and rng.random() < OF_BEGUN:
            return self._step()
        # Mixes without workflows draw as they always did.
        if mix.workflows and rng.random() < mix.workflows:
            self._begun.extend(draw_flow(rng))
            return self._step()
        if self._named and rng.random() < mix.repeated:
            return msgspec.structs.replace(
                (first := rng.choice(self._named)), send=self._send, repeats=first.send, cancel_after_s=None
            )
        kind = self._kind()
        way = Way.RAW if kind is Kind.POISON or rng.random() < mix.raw else Way.CLIENT
        if kind is Kind.POISON:
            bad = rng.choice(HOSTILE if rng.random() < mix.hostile else MALFORMED)
            return Order(
                self._send, kind, way, poison_base64=None if bad is None else base64.b64encode(bad).decode()
            )
        cancel = self._cancel_after_s(kind)
        if kind in UNHEEDING:
            way = Way.CLIENT  # It alone can cancel.
        return Order(self._send, kind, way, *self._body(kind), cancel_after_s=cancel)

    def _cancel_after_s(self, kind: Kind) -> float | None:
        if kind in UNHEEDING:
            return self._rng.uniform(*UNHEEDING_RUN_S)
        return self._rng.uniform(0.0, 1.0) if self._rng.random() < self._mix.cancelled else None

    def _step(self) -> Order:
        """Make the next job of a workflow that was begun."""
        told = self._begun.popleft()
        while (kind := self._kind()) is Kind.POISON or kind in UNHEEDING:
            pass
        way = Way.RAW if self._rng.random() < self._mix.raw else Way.CLIENT
        payload, options = self._body(kind)
        if kind is Kind.STEADY and self._rng.random() < SPAWNING:
            payload["spawns"] = self._rng.randint(1, SPAWNED_MAX)
        options = {name: value for name, value in options.items() if name != "idempotency_key"} | told
        return Order(self._send, kind, way, payload, options, cancel_after_s=self._cancel_after_s(kind))

    def _kind(self) -> Kind:
        draw = self._rng.random()
        for kind, share in self._mix.kinds.items():
            draw -= share
            if draw < 0:
                return kind
        return Kind.STEADY

    def _body(self, kind: Kind) -> tuple[dict[str, Any], dict[str, Any]]:
        rng, mix = self._rng, self._mix
        payload: dict[str, Any] = {"send": self._send, "run_s": self._run_s(kind)}
        options: dict[str, Any] = {"priority": rng.randrange(10)}
        if kind is Kind.FLAKY:
            payload["fail_attempts"] = rng.choice((1, 1, 2))
        if kind is Kind.CRASH:
            payload["fail_attempts"] = 1
        if kind is Kind.FAILING:
            options["max_attempts"] = rng.choice((1, 2))
        if rng.random() < mix.secret:
            payload["secret"] = f"{SECRET_MARK}{rng.getrandbits(64):016x}"
            options["sensitive"] = ["/secret"]
        name = rng.random()
        if name < mix.keyed:
            options["idempotency_key"] = f"key-{self._send}-{rng.getrandbits(32):08x}"
        elif name < mix.keyed + mix.supplied:
            options["job_id"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        # Mixes without such jobs draw as they always did.
        if mix.ordered and rng.random() < mix.ordered:
            options["ordering_key"] = f"line-{rng.randrange(ORDERING_KEYS)}"
        now = datetime.now(UTC)
        if rng.random() < mix.due:
            options["run_at"] = _rfc3339(now + timedelta(seconds=rng.uniform(0.2, 3.0)))
        elif rng.random() < mix.expiring:
            options["expires_at"] = _rfc3339(now + timedelta(seconds=rng.uniform(0.5, 5.0)))
        return payload, options

    def _run_s(self, kind: Kind) -> float:
        unheeding = dict.fromkeys(UNHEEDING, self._mix.unheeding_s)
        lengths = {Kind.SLOW: self._mix.slow_s, Kind.HEAVY: (0.2, 0.5), **unheeding}
        low_s, high_s = lengths.get(kind, (0.0, 0.1))
        return round(self._rng.uniform(low_s, high_s), 3)


def _rfc3339(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def send_of(traceparent: bytes | None) -> int | None:
    """Give the number of the send a record's header carries; None when no load sent it."""
    return None if traceparent is None else send_in(traceparent.decode(errors="replace")[3:35])


def send_in(trace_id: str) -> int | None:
    """Give the number of the send a trace id holds; None when no load made it."""
    return int(trace_id[len(_TRACE_MARK) :], 16) if trace_id.startswith(_TRACE_MARK) else None
