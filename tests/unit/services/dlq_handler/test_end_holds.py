"""Holds end once each, when trouble is over or time is up, through crashes too."""

from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.telemetry.prometheus import PrometheusMeter
from core.learning.aggregates import KeyAggregates
from core.learning.events import Key
from core.learning.preemption import Foreseen
from core.ledger.verdicts import Action, Decided, Preempted
from core.log import Coordinate
from ports.failpoints import Failpoint, arm
from ports.feature_view import FeatureView
from ports.log import GroupMember
from schemas.accepted_job import AcceptedJob, FailedAttempt
from schemas.codec import decode_event, ledger_record
from schemas.ledger import LedgerFolds
from schemas.topics import RouteMap
from services.dlq_handler import end_holds
from services.dlq_handler.end_holds import HoldWatch
from services.dlq_handler.fetch import Attempts

ROUTES = RouteMap(partitions=1, pools=("default",))
ORIGIN, JOB_ID = "e:0:7", "00000000-0000-4000-8000-000000000001"
JOB = AcceptedJob(
    ORIGIN, JOB_ID, "t", "acme", "default", msgspec.Raw(b"{}"), 5, 0, 10.0, 3, "0" * 16, "0" * 32
)
HELD_AT_MS, HOLD_MS = 1_000_000, 60_000
FORESEEN = Foreseen("m", 0.95, 0.9, 30.0, recent=0.8, usual=0.1)


class Held:
    """One dispatch on hold, and whoever looks after it."""

    def __init__(self, recent: float | None) -> None:
        self.broker = MemoryBroker(lambda: HELD_AT_MS)
        self.broker.create_topics(ROUTES.specs())
        self.now_ms = HELD_AT_MS
        self.recent = recent
        self.meter = PrometheusMeter()
        self.held_at_ms: list[int] = []
        self.reads: list[int] = []
        self.hold(HELD_AT_MS)

    def hold(self, at_ms: int) -> None:
        """Hold one more."""
        number = len(self.held_at_ms)
        origin, job_id = f"e:0:{7 + number}", f"{JOB_ID[:-1]}{1 + number}"
        held = Decided(origin, job_id, 1, Action.HOLD, "")
        for verdict in (Preempted(origin, job_id, 1, 0.95, number), held):
            self.broker.write(ledger_record(ROUTES, verdict))
        self.held_at_ms.append(at_ms)

    def state(self, _key: Key) -> KeyAggregates | None:
        return None if self.recent is None else KeyAggregates(failed_share=self.recent)

    async def get(self, places: list[Coordinate]) -> dict[Coordinate, FailedAttempt]:
        self.reads += [place.offset for place in places]
        return {place: self.letter(place.offset) for place in places}

    def letter(self, number: int) -> FailedAttempt:
        job = msgspec.structs.replace(JOB, origin=f"e:0:{7 + number}", job_id=f"{JOB_ID[:-1]}{1 + number}")
        at_ms = self.held_at_ms[number]
        return FailedAttempt(job, "", "predicted", "PredictedFailure", "", at_ms, foreseen=FORESEEN)

    async def turn(self) -> None:
        """Begin anew, as after a crash: fold what there is, and look once."""
        await self.begun().turn()

    def begun(self) -> HoldWatch:
        folds = LedgerFolds("e", with_notes=False)
        folds.take(self.broker.records(ROUTES.ledger))
        member = SimpleNamespace(assignment=SimpleNamespace(partitions=frozenset({0})))
        return HoldWatch(
            ROUTES,
            MemoryAppender(self.broker),
            cast("GroupMember", member),
            self.meter,
            lambda: self.now_ms,
            folds,
            cast("Attempts", self),
            cast("FeatureView", self),
            HOLD_MS,
        )

    @property
    def ended(self) -> list[Decided]:
        events = [decode_event(record) for record in self.broker.records(ROUTES.ledger)]
        return [one for one in events if isinstance(one, Decided) and one.action is Action.RETRY]


@pytest.mark.parametrize("recent", [0.8, 0.41, None])
async def test_a_hold_stays_while_trouble_does_and_ends_in_time(recent: float | None) -> None:
    held = Held(recent)
    held.now_ms += HOLD_MS - 1
    await held.turn()
    assert held.ended == []
    held.now_ms += 1
    await held.turn()
    [decided] = held.ended
    assert (decided.action, decided.n, decided.due_ms, decided.policy) == (
        Action.RETRY,
        1,
        held.now_ms,
        "preempt",
    )
    await held.turn()
    assert len(held.ended) == 1, "it is no hold any more"
    assert held.meter.registry.get_sample_value("penstock_preemptions_total", {"arm": "released"}) == 1


async def test_a_hold_ends_once_its_type_fails_less_often() -> None:
    held = Held(0.4)
    await held.turn()
    [decided] = held.ended
    assert "40% of late, 80% when it was held" in decided.reason


@pytest.mark.parametrize("point", [Failpoint.HOLDS_KNOWN, Failpoint.HOLDS_ENDED])
async def test_killed_anywhere_a_hold_ends_all_the_same_and_once(point: Failpoint) -> None:
    class KilledError(BaseException):
        pass

    def kill() -> None:
        raise KilledError

    held = Held(0.1)
    arm({point: kill})
    with pytest.raises(KilledError):
        await held.turn()
    arm({})
    await held.turn()
    assert len(held.ended) == 1
    folds = LedgerFolds("e", with_notes=False)
    folds.take(held.broker.records(ROUTES.ledger))
    assert folds.fold(0).may_claim(ORIGIN, JOB_ID, 2)
    assert not folds.fold(0).may_claim(ORIGIN, JOB_ID, 1)


async def test_those_that_stay_hold_up_no_others_and_each_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(end_holds, "READ_MAX", 1)
    held = Held(0.8)
    held.hold(HELD_AT_MS - HOLD_MS)
    watch = held.begun()
    for _ in range(3):
        await watch.turn()
    assert {one.origin for one in held.ended} == {"e:0:8"}
    assert held.reads == [0, 1]
