"""Rounds of the trainer on the log in memory: what it publishes and says, killed anywhere, alone or two."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from typing_extensions import override

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from adapters.telemetry.prometheus import PrometheusMeter
from core.learning.enough import Enough
from ports.failpoints import Failpoint, arm
from ports.model_shelf import ModelShelf
from ports.training import (
    PROMOTABLE,
    DriftFound,
    Found,
    Kind,
    Maker,
    MakingFailedError,
    Order,
    UnavailableError,
    When,
)
from schemas.model_book import ModelBook
from schemas.model_signature import is_signed, signed
from schemas.models import ModelManifest, PoolLaw, Purpose, Standing, model_id
from schemas.topics import RouteMap
from services.trainer.decide import BY, Plan
from services.trainer.train import Trainer, Trust
from tests.support.models_under_test import CREATED_MS, a_manifest, a_standing, some_bytes

ROUTES = RouteMap()
KEY = b"a key that nobody knows"
TRUST = Trust(lambda manifest: signed(manifest, KEY), lambda manifest: is_signed(manifest, KEY))
PLAN = Plan(3600.0, Kind.BOOSTED, 1000, Enough(100, 10, 50), promote=True, code_version="1")
LAW = PoolLaw("default", 1.0, 100.0, 500, CREATED_MS)
MADE_AT = (
    Failpoint.TRAINING_DUE,
    Failpoint.TRAINED,
    Failpoint.MODEL_PUBLISHED,
    Failpoint.STANDING_DUE,
    Failpoint.STANDING_TOLD,
    Failpoint.LAWS_DUE,
    Failpoint.LAWS_TOLD,
)


class KilledError(Exception):
    """Stands for SIGKILL."""


class Jobs(Maker):
    """Makes another model whenever it is due, of jobs that never stop coming."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.champions: list[bytes] = []
        self.judged = f"{PROMOTABLE}: not worse than any"
        self.drift: DriftFound | None = None
        self.problem: Exception | None = None
        self.waiting: asyncio.Event | None = None
        self.asked: asyncio.Queue[Order] = asyncio.Queue()

    @override
    async def make(self, order: Order, champion: bytes) -> tuple[Found, bytes]:
        self.orders.append(order)
        self.asked.put_nowait(order)
        data = some_bytes(len(self.orders), 5000)
        self.champions.append(champion)
        if self.waiting is not None:
            await self.waiting.wait()
        if self.problem is not None:
            raise self.problem
        drift = None if order.champion is None else self.drift
        if order.when is When.NEVER:
            return Found(waits_for="it is not time", drift=drift), b""
        made = msgspec.structs.replace(
            a_manifest(data, purpose=order.purpose),
            id=model_id(order.now_ms, a_manifest(data).sha256),
            created_ms=order.now_ms,
            judged=self.judged,
            parent="" if order.champion is None else order.champion.id,
            by=BY,
        )
        return Found(model=made, drift=drift, laws=self.laws_for(order)), data

    def laws_for(self, order: Order) -> tuple[PoolLaw, ...]:
        return () if order.laws or order.purpose is not Purpose.ORDER else (LAW,)


class World:
    """One log, its time, and trainers that come and go."""

    def __init__(self) -> None:
        self.now_ms = CREATED_MS
        self.broker = MemoryBroker(lambda: self.now_ms)
        self.broker.create_topics(ROUTES.specs())
        self.jobs = Jobs()
        self.meter = PrometheusMeter()
        self.looked = 0

    def shelf(self, purpose: Purpose = Purpose.ORDER) -> ModelShelf:
        reader, appender = MemoryReader(self.broker), MemoryAppender(self.broker)
        return ModelShelf(reader, appender, ROUTES, purpose=purpose)

    def trainer(self, plan: Plan = PLAN, check_s: float = 600.0, purpose: Purpose = Purpose.ORDER) -> Trainer:
        def looked() -> None:
            self.looked += 1

        return Trainer(
            shelf=self.shelf(purpose),
            maker=self.jobs,
            plan=plan,
            check_s=check_s,
            trust=TRUST,
            now_ms=lambda: self.now_ms,
            meter=self.meter,
            looked=looked,
            purpose=purpose,
        )

    async def book(self) -> ModelBook:
        return await self.shelf().look()

    async def standing(self) -> Standing:
        standing = (await self.book()).standing
        assert standing is not None
        return standing


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm({})


def killed_at(point: Failpoint) -> None:
    def kill() -> None:
        arm({})
        raise KilledError

    arm({point: kill})


def newest(book: ModelBook) -> ModelManifest:
    assert book.newest is not None
    return book.newest


async def test_a_model_is_published_signed_and_promoted_and_costs_are_told(world: World) -> None:
    await world.trainer().round()
    book = await world.book()
    made = newest(book)
    assert is_signed(made, KEY)
    assert await world.shelf().bytes_of(made)
    assert (await world.standing()).champion == made.id
    assert book.laws == {"default": LAW}
    assert world.looked == 1


async def test_trainers_of_two_purposes_go_their_own_ways_in_one_topic(world: World) -> None:
    order, retry = world.trainer(), world.trainer(purpose=Purpose.RETRY)
    await order.round()
    world.now_ms += 1000
    await retry.round()
    for purpose in Purpose:
        book = await world.shelf(purpose).look()
        assert book.standing is not None
        assert [book.standing.champion] == list(book.manifests)
        assert newest(book).purpose == purpose
    assert [made.purpose for made in world.jobs.orders] == [Purpose.ORDER, Purpose.RETRY]
    # One falls out, the other stays.
    first = (await world.standing()).champion
    world.jobs.drift = DriftFound(drifted=True, words="drifted: log score")
    world.now_ms += 1000
    await retry.round()
    fallen = (await world.shelf(Purpose.RETRY).look()).standing
    assert fallen is not None
    assert fallen.champion is None
    assert (await world.standing()).champion == first


async def test_nothing_is_made_twice_before_it_is_time(world: World) -> None:
    trainer = world.trainer()
    for _ in range(3):
        await trainer.round()
    assert [order.when for order in world.jobs.orders] == [When.DUE, When.NEVER, When.NEVER]
    world.now_ms += 3_600_000
    await trainer.round()
    book = await world.book()
    assert len(book.manifests) == 2
    assert newest(book).parent == min(book.manifests)
    assert (await world.standing()).previous == min(book.manifests)
    # The champion's bytes are there to be judged beside the next.
    assert world.jobs.champions[-1]


@pytest.mark.parametrize("point", MADE_AT)
async def test_killed_anywhere_the_next_one_ends_as_if_it_had_never_stopped(
    world: World, point: Failpoint
) -> None:
    killed_at(point)
    with pytest.raises(KilledError):
        await world.trainer().round()
    world.now_ms += 1000
    await world.trainer().round()
    book, standing = await world.book(), await world.standing()
    assert standing.champion == newest(book).id
    assert standing.previous is None
    assert len(book.manifests) == 1
    assert world.jobs.orders[-1].when is (
        When.DUE if point in {Failpoint.TRAINING_DUE, Failpoint.TRAINED} else When.NEVER
    )


async def test_two_at_once_publish_both_and_promote_one(world: World) -> None:
    world.jobs.waiting = asyncio.Event()
    one, other = (asyncio.create_task(world.trainer().round()) for _ in range(2))
    for _ in range(2):
        await asyncio.wait_for(world.jobs.asked.get(), 5)
    world.now_ms += 1000
    world.jobs.waiting.set()
    await asyncio.gather(one, other)
    book, standing = await world.book(), await world.standing()
    assert len(book.manifests) == 2
    assert standing.champion in book.manifests
    # The second was judged against nobody, and somebody orders by now: it watches.
    assert {standing.champion, standing.shadow} == set(book.manifests)


async def test_a_model_that_may_not_be_promoted_watches(world: World) -> None:
    world.jobs.judged = "no verdict: 40 ends"
    await world.trainer().round()
    standing = await world.standing()
    assert (standing.champion, standing.shadow) == (None, newest(await world.book()).id)
    assert standing.reason == "no verdict: 40 ends"


async def test_people_may_keep_promotion_to_themselves(world: World) -> None:
    await world.trainer(PLAN._replace(promote=False)).round()
    standing = await world.standing()
    assert (standing.champion, standing.shadow) == (None, newest(await world.book()).id)


async def test_a_champion_that_drifted_falls_out_and_the_next_model_is_made_at_once(world: World) -> None:
    trainer = world.trainer()
    await trainer.round()
    first = newest(await world.book()).id
    world.jobs.drift = DriftFound(
        drifted=True, words="drifted: order of run times", measures={"live_ece": 0.5}
    )
    world.now_ms += 1000
    await trainer.round()
    standing = await world.standing()
    assert (standing.champion, standing.previous, standing.enabled) == (None, first, True)
    assert standing.reason == "drifted: order of run times"
    world.jobs.drift = None
    world.now_ms += 1000
    await trainer.round()
    assert world.jobs.orders[-1].when is When.DUE
    assert (await world.standing()).champion == newest(await world.book()).id != first


async def test_what_replaces_a_champion_that_drifted_needs_no_fall_back_in_between(world: World) -> None:
    trainer = world.trainer()
    await trainer.round()
    world.jobs.drift = DriftFound(drifted=True, words="drifted")
    world.now_ms += 3_600_000
    await trainer.round()
    book, standing = await world.book(), await world.standing()
    assert standing.champion == newest(book).id
    assert standing.previous == min(book.manifests)


async def test_while_models_are_disabled_nothing_is_said(world: World) -> None:
    disabled = a_standing(enabled=False)
    await world.shelf().act(lambda _: disabled)
    await world.trainer().round()
    assert await world.standing() == disabled
    assert len((await world.book()).manifests) == 1


async def test_a_champion_with_a_foreign_signature_is_not_loaded_to_be_judged(world: World) -> None:
    data = some_bytes(1, 5000)
    forged = a_manifest(data)
    await world.shelf().publish(forged, data)
    await world.shelf().act(lambda _: a_standing(forged.id))
    await world.trainer().round()
    assert world.jobs.champions == [b""]


async def test_a_champion_that_brings_down_who_loads_it_does_not_do_so_twice(world: World) -> None:
    trainer = world.trainer()
    await trainer.round()
    world.jobs.problem = MakingFailedError("signal SIGSEGV")
    world.now_ms += 3_600_000
    await trainer.round()
    world.jobs.problem = None
    await trainer.round()
    given = [bool(champion) for champion in world.jobs.champions]
    assert given == [False, True, False]
    assert (await world.standing()).champion == newest(await world.book()).id
    # The next one is judged beside.
    world.now_ms += 3_600_000
    await trainer.round()
    assert world.jobs.champions[-1]


@pytest.mark.parametrize("problem", [UnavailableError("Postgres is away"), MakingFailedError("no memory")])
async def test_what_hinders_is_said_and_tried_again_later_and_later(
    world: World, problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world.jobs.problem = problem
    stopping = asyncio.Event()
    running = asyncio.create_task(world.trainer(check_s=0.001).run(stopping))
    for _ in range(4):
        await asyncio.wait_for(world.jobs.asked.get(), 5)
    world.jobs.problem = None
    # One more may have been under way; the round before the last is over.
    for _ in range(3):
        await asyncio.wait_for(world.jobs.asked.get(), 5)
    assert (await world.book()).manifests
    stopping.set()
    await asyncio.wait_for(running, 5)
    assert str(problem) in caplog.text


async def test_a_stop_cuts_off_what_is_being_made(world: World) -> None:
    world.jobs.waiting = asyncio.Event()
    stopping = asyncio.Event()
    running = asyncio.create_task(world.trainer().run(stopping))
    await asyncio.wait_for(world.jobs.asked.get(), 5)
    stopping.set()
    await asyncio.wait_for(running, 5)
    assert not (await world.book()).manifests


async def test_an_unexpected_error_ends_the_service(world: World) -> None:
    world.jobs.problem = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        await asyncio.wait_for(world.trainer().run(asyncio.Event()), 5)
