from collections.abc import Iterable
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ledger.notes import Accepted, Repeated, Waiting
from core.ledger.verdicts import Expired
from core.log import NewRecord, Record, TopicPartition
from core.wheel import TICK_MS
from penstock.identity import Origin, home, job_id_from_repeat
from ports.meter import Metric
from schemas.codec import decode_accepted, decode_event
from services.scheduler import last_stretch
from tests.unit.services.scheduler.simulation import ROUTES, START_MS, CrashError, Process, World, a_job

E = TypeVar("E")


def origins(records: Iterable[Record]) -> list[str]:
    return sorted(decode_accepted(record).origin for record in records)


def events(world: World, kind: type[E]) -> list[E]:
    return [event for event in map(decode_event, world.records(ROUTES.ledger)) if isinstance(event, kind)]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_key_lets_one_of_its_records_run(world: World) -> None:
    for number in (1, 2, 3):
        world.submit(a_job(number, idempotency_key="k"))
    process = Process(world)
    await process.run_for(1000)
    assert origins(world.records(ROUTES.ready)) == ["e:0:1"]
    repeats = events(world, Repeated)
    assert [(note.origin, note.first_origin, note.conflict) for note in repeats] == [
        ("e:0:2", "e:0:1", False),
        ("e:0:3", "e:0:1", False),
    ]
    assert process.meter.total(Metric.REPEATED) == 2
    assert [note.origin for note in events(world, Accepted)] == ["e:0:1"]


async def test_a_conflict_stands_in_rejected_and_does_not_run(world: World) -> None:
    world.submit(a_job(1, idempotency_key="k"))
    world.submit(a_job(2, idempotency_key="k", body_hash=f"{8:016x}"))
    process = Process(world)
    await process.run_for(1000)
    assert origins(world.records(ROUTES.ready)) == ["e:0:1"]
    (rejected,) = world.records(ROUTES.rejected)
    assert rejected.header("reason") == b"key_conflict"
    assert events(world, Repeated)[0].conflict
    assert process.meter.counts[Metric.REJECTED, (("reason", "key_conflict"),)] == 1


async def test_a_key_used_after_its_window_runs_at_the_home_of_its_new_id(world: World) -> None:
    world.submit(a_job(1, idempotency_key="k"))
    world.submit(a_job(2, idempotency_key="k", submitted_ms=START_MS + 5000))
    await Process(world, window_ms=5000).run_for(1000)
    second = next(r for r in world.records(ROUTES.ready) if decode_accepted(r).origin == "e:0:2")
    expected = job_id_from_repeat("acme", "k", Origin("e", 0, 2))
    assert decode_accepted(second).job_id == expected
    assert second.key == expected.encode()
    assert second.partition == home(expected, ROUTES.partitions)
    assert expected in {note.job_id for note in events(world, Accepted)}


async def test_a_job_of_the_future_waits_and_says_so(world: World) -> None:
    world.submit(a_job(1, run_at_ms=START_MS + 3210))
    process = Process(world)
    await process.run_for(3210 + TICK_MS + 5)
    assert events(world, Waiting) == [Waiting("e:0:1", a_job(1).job_id, on="due", due_ms=START_MS + 3210)]
    (ready,) = world.records(ROUTES.ready)
    assert decode_accepted(ready) == a_job(1, run_at_ms=START_MS + 3210)
    assert ready.header("kind") == b"READY"
    late_ms = ready.timestamp_ms - START_MS - 3210
    assert 0 <= late_ms <= 2, "it is held for the last seconds"
    assert process.meter.observed[Metric.WHEEL_LATENESS] == [late_ms / 1000]
    assert process.meter.counts[Metric.DELAYED, (("tier", "1"),)] == 1
    assert process.meter.total(Metric.DELAYED) == 1


async def test_a_job_not_started_in_time_expires(world: World) -> None:
    world.submit(a_job(1, expires_at_ms=START_MS + 1000))
    await Process(world).run_for(2000)
    assert origins(world.records(ROUTES.ready)) == ["e:0:1"], "it may start until then"
    (expired,) = world.records(ROUTES.ledger)
    assert isinstance(decode_event(expired), Expired)
    assert 1000 <= expired.timestamp_ms - START_MS <= 1002


async def test_a_job_that_comes_expired_is_never_ready(world: World) -> None:
    world.submit(a_job(1, expires_at_ms=START_MS - 1, idempotency_key="k"))
    await Process(world).run_for(2000)
    assert world.records(ROUTES.ready) == []
    assert len(events(world, Expired)) == 1
    assert len(events(world, Accepted)) == 1


async def test_a_retry_goes_through_the_wheel_byte_for_byte(world: World) -> None:
    job = a_job(1, n=3, attempt=3, payload=msgspec.Raw(b'{"big":1.0000000000000000001, "a" : [ ]}'))
    raw = msgspec.json.encode({"due_ms": START_MS + 1300, "then": "ready", "job": job})
    headers = (("schema", b"1"), ("kind", b"DELAYED"), ("traceparent", b"00-1"))
    world.put(NewRecord(ROUTES.delay(1), 0, b"key", raw, headers))
    await Process(world).run_for(2000)
    (ready,) = world.records(ROUTES.ready)
    assert ready.value == msgspec.json.encode(job)
    assert ready.header("traceparent") == b"00-1"


async def test_what_is_held_for_its_last_seconds_is_not_handed_over_and_survives_a_crash(
    world: World,
) -> None:
    world.submit(a_job(1, run_at_ms=START_MS + 3000))
    world.submit(a_job(2, run_at_ms=START_MS + 20_000))
    first = Process(world)
    await first.run_for(2000)
    tier = TopicPartition(ROUTES.delay(1), home(a_job(1).job_id, ROUTES.partitions))
    assert (len(world.log[tier]), world.committed.get(tier, 0)) == (1, 0)
    await Process(world).run_for(1500)
    assert origins(world.records(ROUTES.ready)) == ["e:0:1"]
    await Process(world).run_for(500)
    assert world.committed[tier] == 1


async def test_what_does_not_fit_into_memory_hops_on_and_is_as_punctual_as_a_tick(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_stretch, "HELD_MAX_BYTES", 3000)
    for number in range(1, 60):
        world.submit(a_job(number, run_at_ms=START_MS + 2345))
    process = Process(world)
    await process.run_for(4000)
    assert len(world.records(ROUTES.ready)) == 59
    assert max(process.meter.observed[Metric.WHEEL_LATENESS]) <= (TICK_MS + 5) / 1000
    assert process.meter.counts[Metric.DELAYED, (("tier", "0"),)] > 50


async def test_restoring_acts_on_nothing_twice_and_forgets_nothing(world: World) -> None:
    for number in range(1, 40):
        world.submit(a_job(number, idempotency_key=f"k{number % 7}"))
    await Process(world).run_for(1000)
    before = {topic: len(world.records(topic)) for topic in (ROUTES.ready, ROUTES.ledger, ROUTES.rejected)}
    world.submit(a_job(99, idempotency_key="k3"))
    second = Process(world)
    assert not second.scheduler.is_restored
    await second.run_for(1000)
    assert second.scheduler.is_restored
    assert len(world.records(ROUTES.ready)) == before[ROUTES.ready] == 7
    assert len(world.records(ROUTES.ledger)) == before[ROUTES.ledger] + 1


async def test_a_rebalance_repeats_nothing_that_was_handed_over(world: World) -> None:
    for number in range(1, 20):
        world.submit(a_job(number, run_at_ms=START_MS + 2000))
    process = Process(world)
    await process.run_for(1500)
    written = len(world.records(ROUTES.ledger))
    process.member.rebalance()
    await process.run_for(1500)
    assert len(world.records(ROUTES.ledger)) == written
    assert origins(world.records(ROUTES.ready)) == sorted(f"e:0:{number}" for number in range(1, 20))


async def test_what_was_committed_when_idle_is_all_that_was_handed_over(world: World) -> None:
    world.submit(a_job(1, run_at_ms=START_MS + 600))
    await Process(world).run_for(2000)
    for place, records in world.log.items():
        if place.topic == ROUTES.gates or place.topic in ROUTES.delays:
            assert world.committed.get(place, 0) == len(records)


async def test_a_quiet_wheel_is_not_polled_in_a_hurry(world: World) -> None:
    world.submit(a_job(1, run_at_ms=START_MS + 60_000))
    process = Process(world)
    await process.run_for(60_000)
    assert process.member.polls < 400, "two a second and a few a hop"


async def test_a_tier_that_holds_enough_is_paused_and_nothing_is_late_for_it() -> None:
    world = World()
    for number in range(1, 6001):
        world.submit(a_job(number, run_at_ms=START_MS + 9000 + number % 5))
    process, paused = Process(world), False
    while world.now_ms < START_MS + 9400:
        await process.scheduler.step()
        paused = paused or any(place.topic in ROUTES.delays for place in process.member.paused)
    assert paused
    assert len(world.records(ROUTES.ready)) == 6000
    assert max(process.meter.observed[Metric.WHEEL_LATENESS]) <= (TICK_MS + 20) / 1000
    assert not [place for place in process.member.paused if place.topic in ROUTES.delays]


_SUBMISSIONS = st.lists(
    st.tuples(
        st.integers(1, 12),
        st.integers(0, 3000),
        st.sampled_from([None, "a", "b"]),
        st.none() | st.integers(-500, 5000),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=80)
@given(_SUBMISSIONS, st.lists(st.tuples(st.integers(0, 30), st.integers(1, 1500)), max_size=4))
async def test_crashes_anywhere_lose_nothing_and_release_nothing_early(
    submissions: list[tuple[int, int, str | None, int | None]], crashes: list[tuple[int, int]]
) -> None:
    world, due, keys = World(append_ms=3), {}, {}
    for number, at_ms, key, run_in_ms in {item[0]: item for item in submissions}.values():
        run_at_ms = None if run_in_ms is None else START_MS + run_in_ms
        world.submit(a_job(number, idempotency_key=key, run_at_ms=run_at_ms), at_ms)
        due[f"e:0:{number}"] = max(run_at_ms or 0, START_MS + at_ms)
        keys[f"e:0:{number}"] = key or number
    for after, span_ms in crashes:
        world.crash_after = after
        try:
            await Process(world).run_for(span_ms)
        except CrashError:
            continue
    world.crash_after = None
    await Process(world).run_for(12_000)
    released = {decode_accepted(record).origin for record in world.records(ROUTES.ready)}
    assert sorted(str(keys[origin]) for origin in released) == sorted({str(key) for key in keys.values()})
    for record in world.records(ROUTES.ready):
        assert record.timestamp_ms >= due[decode_accepted(record).origin]
    gates = [TopicPartition(ROUTES.gates, partition) for partition in range(2)]
    assert all(world.committed.get(place, 0) == len(world.log[place]) for place in gates)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=30))
async def test_lateness_is_the_time_of_some_appends_and_below_a_tick_for_what_is_due_within_one(
    delays_ms: list[int],
) -> None:
    world = World(append_ms=4)
    for number, delay_ms in enumerate(delays_ms):
        world.submit(a_job(number, run_at_ms=START_MS + delay_ms))
    await Process(world).run_for(max(delays_ms) + 2 * TICK_MS)
    # Each is admitted in a turn of its own, and may be due within a tick by then.
    soon_ms = TICK_MS + world.append_ms * (len(delays_ms) + 4)
    ready = {decode_accepted(r).origin: r.timestamp_ms - START_MS for r in world.records(ROUTES.ready)}
    for number, delay_ms in enumerate(delays_ms):
        # Each turn may first have to finish the append of another.
        most_ms = 4 * world.append_ms + 2 + (TICK_MS if delay_ms <= soon_ms else 0)
        assert delay_ms <= ready[f"e:0:{number}"] <= delay_ms + most_ms
