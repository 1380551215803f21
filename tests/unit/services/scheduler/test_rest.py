"""The ledger rests while no gated job is about, and never while one is."""

from core.ledger.verdicts import Expired
from core.log import Record, TopicPartition
from schemas.codec import ledger_record
from services.scheduler.rest import DRAINED_RECORDS, LINGER_MS, REST_MS, LedgerRest, Switch
from tests.unit.services.scheduler.runner import Runner
from tests.unit.services.scheduler.simulation import ROUTES, Process, World, a_job
from tests.unit.services.scheduler.test_gates import run, submit

LEDGER = [Record(ROUTES.ledger, 0, 0, 0, None, b"{}", ())]
GATE = [Record(ROUTES.orders, 0, 0, 0, None, b"{}", ())]
LATER_MS = 10 * LINGER_MS


def test_the_ledger_is_read_again_after_a_rest_and_rests_again_when_it_was_read() -> None:
    rest = LedgerRest(ROUTES.ledger)
    assert rest.after(LEDGER, 0, LATER_MS) is Switch.PAUSE
    assert rest.ends_ms() == LATER_MS + REST_MS
    assert rest.after([], 0, LATER_MS + REST_MS - 1) is Switch.LEAVE
    assert rest.after([], 0, LATER_MS + REST_MS) is Switch.RESUME
    assert rest.ends_ms() is None
    assert rest.after([], 0, LATER_MS + REST_MS + 1) is Switch.LEAVE, "nothing of it was read yet"
    assert rest.after(LEDGER, 0, LATER_MS + REST_MS + 2) is Switch.PAUSE


def test_a_gated_job_or_a_record_of_a_gate_ends_the_rest_and_keeps_it_away_for_a_while() -> None:
    for followed, gated in ((LEDGER, 1), (GATE, 0)):
        rest = LedgerRest(ROUTES.ledger)
        assert rest.after(LEDGER, 0, LATER_MS) is Switch.PAUSE
        assert rest.after(followed, gated, LATER_MS + 1) is Switch.RESUME
        assert rest.after(LEDGER, 0, LATER_MS + LINGER_MS) is Switch.LEAVE
        assert rest.after(LEDGER, 0, LATER_MS + LINGER_MS + 1) is Switch.PAUSE


def test_a_ledger_that_is_behind_does_not_rest_and_a_rebalance_ends_every_pause() -> None:
    rest = LedgerRest(ROUTES.ledger)
    assert rest.after(LEDGER * DRAINED_RECORDS, 0, LATER_MS) is Switch.LEAVE
    assert rest.after(LEDGER, 0, LATER_MS) is Switch.PAUSE
    rest.over()
    assert rest.ends_ms() is None


async def test_a_scheduler_without_gated_jobs_wakes_a_few_times_a_second_however_busy_the_ledger_is() -> None:
    world = World()
    for at_ms in range(0, 4000, 5):
        world.put_later(ledger_record(ROUTES, Expired(f"e:0:{at_ms}", a_job().job_id)), at_ms)
    process = Process(world)
    await process.run_for(4000)
    assert process.member.polls < 60
    await process.run_for(1500)
    place = TopicPartition(ROUTES.ledger, world.records(ROUTES.ledger)[0].partition)
    assert process.logs.next_offset(place) == len(world.log[place]) == 800


async def test_the_first_ordered_jobs_after_a_rest_run_in_turn() -> None:
    world = World()
    runner, process = Runner(world, {}), Process(world)
    for at_ms in range(0, 2000, 50):
        world.put_later(
            ledger_record(ROUTES, Expired(f"e:0:{9000 + at_ms}", a_job(5000 + at_ms).job_id)), at_ms
        )
    await process.run_for(2000)
    for number in range(1, 5):
        submit(world, a_job(number, ordering_key="k"))
    await run(world, runner, process)
    assert [int(job.origin.rpartition(":")[2]) for job in runner.started] == [1, 2, 3, 4]
