"""The same burst of jobs in order of arrival, by the rule, by running means and by a trained model."""

import asyncio
import contextlib
import getpass
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import psycopg

from adapters.kafka.appender import appending
from adapters.kafka.reader import reading
from adapters.kafka.topology import route_map
from adapters.learned.child import ChildMaker, Limits
from core.buckets import BUCKETS
from core.learning.enough import Enough
from core.learning.spread import fitted
from penstock.client import Client, Job
from penstock.demo.orders_plan import Arrival, OrderResult, burst, result_of
from penstock.demo.stack import Endpoints
from penstock.demo.watch import sum_of_metric
from ports.model_shelf import ModelShelf
from ports.training import Kind, MakingFailedError, Order, UnavailableError, When
from schemas.model_book import ModelBook
from schemas.model_signature import signed
from schemas.models import ModelManifest, PoolLaw, Standing

LABEL = "demo_order"
POOL = "default"
SEND_EVERY_S = 0.05
SETTLE_S = 1.5
"""Between saying who orders and the next burst: everybody has read it by then."""
TRIED_WITHIN_S = 30
READY = 'penstock_models_ready{purpose="order",role="champion"}'
PATIENCE_S = 120.0
"""A burst is waited for so much longer than it should take."""
ROWS_MAX = 20_000
TRAIN_LIMITS = Limits(3 << 30, 120.0, 0)
ALL_ALIKE = PoolLaw(POOL, 1e6, 1e6 * 4.0 ** (BUCKETS - 1), 0, 0)
"""Every job costs less than this law's least: all stand in one bucket, in order of arrival."""
_WAITS = """
SELECT count(*) FILTER (WHERE finished_at IS NOT NULL),
       array_agg(greatest(0, extract(epoch FROM started_at - ready_at))::float8)
           FILTER (WHERE started_at IS NOT NULL),
       array_agg(model_version) FILTER (WHERE started_at IS NOT NULL)
FROM jobs WHERE labels @> jsonb_build_object(%s::text, %s::text)
"""
_RUNS = """
SELECT run_s FROM jobs WHERE type LIKE 'nap.%%' AND run_s IS NOT NULL ORDER BY finished_at DESC LIMIT 5000
"""


class OrdersError(Exception):
    """The orders could not be compared; the message says why."""


class OrderTrial:
    """Runs one burst under each order, one after the other, on a pipeline that has nothing else to do.

    Parameters
    ----------
    slots
        Of all executors of the pool.
    seconds
        About how long the slots need for one burst.
    """

    def __init__(
        self, endpoints: Endpoints, *, slots: int, seconds: float, seed: int, say: Callable[[str], None]
    ) -> None:
        self._endpoints = endpoints
        self._routes = route_map(endpoints.names)
        self._slots = slots
        self._seconds = seconds
        self._seed = seed
        self._say = say
        self._run = secrets.token_hex(4)

    async def run(self) -> list[OrderResult]:
        """Give the waits under each order.

        Raises
        ------
        OrdersError
            Jobs did not end.
        """
        plain = burst(self._seed, self._slots, self._seconds)
        async with self._shelf() as shelf:
            await self._order(shelf, "in order of arrival, to compare", law=ALL_ALIKE)
            results = [await self._burst("arrival", "in order of arrival", plain)]
            await self._order(shelf, "the rule, to compare", enabled=False)
            results.append(await self._burst("rule", "the rule: means of types", plain))
            law = await self._law()
            champion = await self._trained(shelf)
            await self._order(shelf, "a model on trial", champion=champion, law=law)
            await self._until_tried(champion)
            results.append(await self._burst("mean", "running means of tenant and type", plain))
            if champion is not None:
                results.append(await self._burst("model", "a model trained on these runs", plain))
            changed = burst(self._seed, self._slots, self._seconds, reversed_=True)
            results.append(await self._burst("drift", "the same, cheap and dear reversed", changed))
        return results

    async def _burst(self, order: str, what: str, arrivals: list[Arrival]) -> OrderResult:
        self._say(f"{len(arrivals)} jobs for {self._slots} slots: {what}")
        label = f"{self._run}-{order}"
        endpoints = self._endpoints
        async with Client(
            kafka=endpoints.kafka, database=endpoints.database, names=endpoints.names
        ) as client:
            began_s = time.monotonic()
            left = list(arrivals)
            while left:
                now_s = time.monotonic() - began_s
                due = [one for one in left if one.at_s <= now_s]
                left = left[len(due) :]
                await client.submit_many([_job(one, label) for one in due])
                await asyncio.sleep(SEND_EVERY_S)
        return await self._ended(order, what, label, len(arrivals))

    async def _ended(self, order: str, what: str, label: str, jobs: int) -> OrderResult:
        deadline_s = time.monotonic() + self._seconds + PATIENCE_S
        while True:
            ended, waits_s, models = await self._row(_WAITS, (LABEL, label))
            if ended == jobs:
                return result_of(order, what, waits_s or [], dict(Counter(models or [])))
            if time.monotonic() > deadline_s:
                raise OrdersError(f"of {jobs} jobs ({what}) only {ended} have ended")
            await asyncio.sleep(0.3)

    async def _row(self, query: str, parameters: tuple[object, ...]) -> tuple[int, list[float], list[str]]:
        async with await psycopg.AsyncConnection.connect(self._endpoints.database.conninfo) as connection:
            found = await (await connection.execute(query.encode(), parameters)).fetchone()
        assert found is not None
        return found

    async def _law(self) -> PoolLaw:
        """Fit the law of the pool to what ran in the bursts before."""
        async with await psycopg.AsyncConnection.connect(self._endpoints.database.conninfo) as connection:
            rows = await (await connection.execute(_RUNS)).fetchall()
        spread = fitted([row[0] for row in rows])
        return PoolLaw(POOL, spread.low_s, spread.high_s, len(rows), _now_ms())

    async def _order(
        self,
        shelf: ModelShelf,
        why: str,
        *,
        champion: ModelManifest | None = None,
        law: PoolLaw | None = None,
        enabled: bool = True,
    ) -> None:
        """Say who orders from here on."""
        if law is not None:
            await shelf.tell_laws([law])
        by, name = f"demo:{getpass.getuser()}", None if champion is None else champion.id

        def decide(book: ModelBook) -> Standing:
            before = None if book.standing is None else book.standing.champion
            return Standing(name, before, None, enabled, _now_ms(), by, why)

        await shelf.act(decide)
        await asyncio.sleep(SETTLE_S)

    async def _until_tried(self, champion: ModelManifest | None) -> None:
        """Wait until every prioritizer has the model, so that the whole burst bears evidence of it."""
        ports = [
            port for name, port in self._endpoints.metrics_ports.items() if name.startswith("prioritizer")
        ]
        if champion is None or not ports:
            return
        async with aiohttp.ClientSession() as http:
            for _ in range(TRIED_WITHIN_S):
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    ready = [await sum_of_metric(http, port, READY) for port in ports]
                    if all(ready):
                        return
                await asyncio.sleep(1)

    async def _trained(self, shelf: ModelShelf) -> ModelManifest | None:
        """Make a model of what has run so far; None, and it is said why, when there is none to be made."""
        self._say("training a model on what has run so far")
        environment = {**os.environ, "PENSTOCK_DATABASE_URL": self._endpoints.database.conninfo}
        order = Order(
            now_ms=_now_ms(),
            by="demo",
            when=When.NOW,
            code_version="demo",
            kind=Kind.BOOSTED,
            rows_max=ROWS_MAX,
            enough=Enough(0, 0, 0),
        )
        try:
            found, data = await ChildMaker(TRAIN_LIMITS, environment, plain=True).make(order, b"")
        except (UnavailableError, MakingFailedError) as error:
            self._say(f"no model was made: {error}")
            return None
        if found.model is None:
            self._say(f"no model was made: {found.waits_for}")
            return None
        key = self._endpoints.model_key
        manifest = found.model if key is None else signed(found.model, key)
        await shelf.publish(manifest, data)
        self._say(f"model {manifest.id}: {manifest.judged}")
        return manifest

    @asynccontextmanager
    async def _shelf(self) -> AsyncIterator[ModelShelf]:
        """Reach the topic of models; whoever ordered before orders again at the end."""
        async with (
            reading(self._endpoints.kafka, client_id="penstock-demo-models") as reader,
            appending(self._endpoints.kafka, client_id="penstock-demo-models") as appender,
        ):
            yield ModelShelf(reader, appender, self._routes)


def _job(one: Arrival, label: str) -> Job:
    work = {"run_s": one.run_s, "fails": one.fails, "text": "x" * one.chars}
    return Job(type=one.type, tenant=one.tenant, payload=work, labels={LABEL: label})


def _now_ms() -> int:
    return int(time.time() * 1000)
