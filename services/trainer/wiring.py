"""The parts of the trainer and what connects them."""

import asyncio
import contextlib
import os
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from typing_extensions import override

from adapters.learned.child import ChildMaker, Limits
from adapters.runtime.service import Service
from core.learning.enough import Enough
from core.retrying.explore import Chooser
from ports.log import PartitionReader
from ports.model_shelf import ModelShelf
from ports.stage import stopped_within
from ports.training import Found, Maker, Order
from schemas.model_signature import is_signed, signed
from schemas.models import Purpose
from services.trainer.decide import Plan
from services.trainer.settings import TrainerSettings
from services.trainer.train import Trainer, Trust

TURN_S = 1.0


async def run(service: Service) -> None:
    """Train on a schedule until the service is told to stop."""
    settings = cast("TrainerSettings", service.settings)
    async with contextlib.AsyncExitStack() as stack:
        purposes = purposes_of(settings)
        readers: dict[Purpose, PartitionReader] = {}
        for purpose in purposes:
            readers[purpose] = await service.reader()
            stack.push_async_callback(readers[purpose].close)
        service.health.set_unready("reading the models there are")
        maker = OneAtATime(ChildMaker(limits_of(settings), environment_of(settings, service.instance)))
        trainers = [
            Trainer(
                shelf=ModelShelf(readers[purpose], service.appender, service.routes, purpose=purpose),
                maker=maker,
                plan=plan_of(settings, purpose),
                check_s=settings.trainer_check_s,
                trust=trust_of(settings.model.key_bytes),
                now_ms=service.clock.now_ms,
                meter=service.meter,
                looked=service.health.set_ready,
                purpose=purpose,
            )
            for purpose in purposes
        ]
        async with asyncio.TaskGroup() as tasks:
            for trainer in trainers:
                tasks.create_task(trainer.run(service.stopping))
            # A round waits for a child for minutes, or for a broker that is away: no loop is stuck then.
            while not await stopped_within(service.stopping, TURN_S):
                service.health.beat()


class OneAtATime(Maker):
    """A maker for several trainers: one child at a time, for each takes a core and all memory allowed."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._making = asyncio.Lock()

    @override
    async def make(self, order: Order, champion: bytes) -> tuple[Found, bytes]:
        async with self._making:
            return await self._maker.make(order, champion)


def purposes_of(settings: TrainerSettings) -> tuple[Purpose, ...]:
    """Give what models are made for: retries only where a dlq_handler asks them."""
    asks = settings.retry_policy is Chooser.LEARNED
    return (Purpose.ORDER, Purpose.RETRY) if asks else (Purpose.ORDER,)


def plan_of(settings: TrainerSettings, purpose: Purpose) -> Plan:
    """Give what the settings ask for."""
    rows_max, enough = {
        Purpose.ORDER: (
            settings.trainer_rows_max,
            Enough(settings.trainer_first_ends, settings.trainer_first_failures, settings.trainer_new_ends),
        ),
        Purpose.RETRY: (
            settings.trainer_retry_rows_max,
            Enough(
                settings.trainer_retry_first_ends,
                settings.trainer_retry_first_recovered,
                settings.trainer_retry_new_ends,
            ),
        ),
    }[purpose]
    return Plan(
        every_s=settings.trainer_every_s,
        kind=settings.trainer_kind,
        rows_max=rows_max,
        enough=enough,
        promote=settings.trainer_promote,
        code_version=_version(),
    )


def trust_of(key: bytes | None) -> Trust:
    """Sign and ask for signatures where there is a key."""
    if key is None:
        return Trust(sign=lambda manifest: manifest, is_trusted=lambda _: True)
    return Trust(sign=partial(signed, key=key), is_trusted=partial(is_signed, key=key))


def limits_of(settings: TrainerSettings) -> Limits:
    """Give what the process that trains may take."""
    return Limits(settings.trainer_memory_mb << 20, settings.trainer_limit_s, settings.trainer_nice)


def environment_of(settings: TrainerSettings, instance: str) -> dict[str, str]:
    """Give the environment of the process that trains: ours, with what the settings say."""
    return {
        **os.environ,
        "PENSTOCK_DATABASE_URL": settings.database.conninfo,
        "PENSTOCK_INSTANCE": instance,
        "PENSTOCK_LOG_LEVEL": settings.log_level,
    }


def _version() -> str:
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "0+source"
