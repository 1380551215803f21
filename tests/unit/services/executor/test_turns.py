"""A share of the slots takes the oldest, whatever any score says."""

import msgspec

from core.head_order import HeadOrder
from core.learning.law import OrderLaw, law_of
from core.learning.spread import Spread
from core.log import Record
from core.priority import PriorityRule
from schemas.accepted_job import AcceptedJob, QueuedJob
from services.executor.held import Held, HeldJob, WaitingJob
from services.executor.turns import StartTurns

NOW_MS = 1_000_000_000
SLOTS = 20
CHEAP, DEAR = 0, 7


class Bench:
    """An executor's queue, with cheap jobs that came after dear ones and would always be taken first."""

    def __init__(self, law: OrderLaw, slots: int = SLOTS) -> None:
        self.held = Held()
        self.turns = StartTurns(lambda: law, self.held, slots, lambda: NOW_MS)
        self.order: HeadOrder[WaitingJob] = HeadOrder()
        self.offered = 0

    def offer(self, lane: int, ready_ms: int, count: int) -> None:
        for _ in range(count):
            self.offered += 1
            job = AcceptedJob(
                f"e:0:{self.offered}", "id", "t", "a", "default", msgspec.Raw(b"{}"), 5, 0, 1.0, 1, "", ""
            )
            record = Record("jobs.exec.default.b0", 0, self.offered, ready_ms, None, b"", ())
            waiting = WaitingJob(QueuedJob(job, ready_ms, lane, 0.0), record)
            self.order.offer(lane, 1e7 * (7 - lane), ready_ms, waiting)

    def start(self, wanted: int) -> list[int]:
        """Take and hold so many; gives the lanes they came from."""
        self.turns.begin()
        lanes = []
        for waiting in self.order.take(wanted, lambda _: True, turns=self.turns):
            held = HeldJob(waiting.queued, 0, 0.0)
            held.is_oldest = waiting.is_oldest
            self.held.add(held)
            lanes.append(waiting.queued.bucket)
        return lanes

    def end(self, lane: int) -> None:
        """Let one that came from the lane end."""
        for held in self.held.all():
            if held.queued.bucket == lane:
                self.held.remove(held.key)
                return


def contended(oldest_share: float, slots: int = SLOTS) -> Bench:
    bench = Bench(law_of(None, PriorityRule(), oldest_share), slots)
    bench.offer(DEAR, NOW_MS - 9000, 50)
    bench.offer(CHEAP, NOW_MS - 1000, 200)
    return bench


def test_a_tenth_of_the_slots_runs_what_was_the_oldest() -> None:
    bench = contended(0.1)
    assert sorted(bench.start(SLOTS)) == [CHEAP] * 18 + [DEAR] * 2
    bench.end(CHEAP)
    assert bench.start(1) == [CHEAP]
    bench.end(DEAR)
    assert bench.start(1) == [DEAR]


def test_with_few_slots_every_tenth_start_is_the_oldests() -> None:
    bench = contended(0.1, slots=1)
    lanes = []
    for _ in range(30):
        lanes += bench.start(1)
        bench.held.drop_all()
    assert lanes == ([CHEAP] * 9 + [DEAR]) * 3


def test_without_a_share_the_best_is_always_next() -> None:
    assert contended(0.0).start(SLOTS) == [CHEAP] * SLOTS


def test_what_waits_longer_than_the_law_allows_is_next() -> None:
    spread = Spread(0.1, 0.1 * 4.0**7)
    law = law_of(spread, PriorityRule(), 0.0)
    bench = Bench(law)
    bench.offer(DEAR, NOW_MS - round(law.guard.max_wait_s * 1000) - 1, 3)
    bench.offer(CHEAP, NOW_MS - 1000, 9)
    assert bench.start(5) == [DEAR, DEAR, DEAR, CHEAP, CHEAP]


def test_under_a_law_the_share_begins_with_who_has_waited_a_buckets_head_start() -> None:
    law = law_of(Spread(0.1, 0.1 * 4.0**7), PriorityRule(), 0.1)
    patience_ms = round(law.guard.patience_s * 1000)
    for waited_ms, lanes in ((patience_ms - 1, [CHEAP] * SLOTS), (patience_ms, [CHEAP] * 18 + [DEAR] * 2)):
        bench = Bench(law)
        bench.offer(DEAR, NOW_MS - waited_ms, 50)
        bench.offer(CHEAP, NOW_MS - 1000, 200)
        assert sorted(bench.start(SLOTS)) == lanes
