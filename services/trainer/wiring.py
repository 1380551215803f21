"""The parts of the trainer and what connects them."""

import asyncio
import contextlib
import os
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from adapters.learned.child import ChildMaker, Limits
from adapters.runtime.service import Service
from core.learning.enough import Enough
from ports.model_shelf import ModelShelf
from ports.stage import stopped_within
from schemas.model_signature import is_signed, signed
from services.trainer.decide import Plan
from services.trainer.settings import TrainerSettings
from services.trainer.train import Trainer, Trust

TURN_S = 1.0


async def run(service: Service) -> None:
    """Train on a schedule until the service is told to stop."""
    settings = cast("TrainerSettings", service.settings)
    async with contextlib.AsyncExitStack() as stack:
        reader = await service.reader()
        stack.push_async_callback(reader.close)
        service.health.set_unready("reading the models there are")
        trainer = Trainer(
            shelf=ModelShelf(reader, service.appender, service.routes),
            maker=ChildMaker(limits_of(settings), environment_of(settings, service.instance)),
            plan=plan_of(settings),
            check_s=settings.trainer_check_s,
            trust=trust_of(settings.model.key_bytes),
            now_ms=service.clock.now_ms,
            meter=service.meter,
            looked=service.health.set_ready,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(trainer.run(service.stopping))
            # A round waits for a child for minutes, or for a broker that is away: no loop is stuck then.
            while not await stopped_within(service.stopping, TURN_S):
                service.health.beat()


def plan_of(settings: TrainerSettings) -> Plan:
    """Give what the settings ask for."""
    return Plan(
        every_s=settings.trainer_every_s,
        kind=settings.trainer_kind,
        rows_max=settings.trainer_rows_max,
        enough=Enough(
            settings.trainer_first_ends, settings.trainer_first_failures, settings.trainer_new_ends
        ),
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
