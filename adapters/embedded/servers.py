"""Bringing up the embedded servers: fetch, create, start, wait."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from adapters.embedded.home import Home
from adapters.embedded.jars import local_repository, locked_jars, missing
from adapters.embedded.kafka import EmbeddedKafka
from adapters.embedded.keeper import Keeper
from adapters.embedded.loopback import PortBook
from adapters.embedded.plan import child_environment, module_command
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.unit import ProcessTable, Unit, describe_log

READY_TIMEOUT_S = 90.0
"""For a machine ten times slower than the 2 cores on which both take under 3 s."""

ENDS_BEFORE_READY = 3
"""So many ends before the first answer are a fault that a restart does not mend."""

Keep = Callable[[Unit], Keeper]
"""Starts a unit and keeps it."""

Timed = Callable[[str, Awaitable[None]], Awaitable[None]]
"""Awaits a step and reports it with its duration."""


class StartError(Exception):
    """The pipeline cannot be brought up; a person reads the message."""


@dataclass(frozen=True)
class Site:
    """What both servers need to come up."""

    home: Home
    ports: PortBook
    environment: Mapping[str, str]
    table: ProcessTable
    keep: Keep
    timed: Timed


async def start_kafka(site: Site) -> str:
    """Bring up the broker; give its address.

    Raises
    ------
    StartError, ProgramFailedError, MissingProgramError
        It cannot be brought up.
    """
    if missing(locked_jars(), local_repository(site.environment)):
        fetch = Unit(
            "fetch-jars",
            module_command("adapters.embedded.fetch_jars"),
            site.home.log("fetch-jars"),
            env=child_environment(site.environment),
        )
        await site.timed("Kafka downloaded (45 MB, once)", site.table.run(fetch))
    kafka = EmbeddedKafka(site.home, site.ports, site.environment)
    kafka.configure()
    formatting = kafka.format_unit()
    if formatting is not None:
        await site.timed("Kafka storage formatted", site.table.run(formatting))
        kafka.mark_formatted()
    await site.timed(
        f"Kafka answers on {kafka.bootstrap}", until_ready(site.keep(kafka.unit()), kafka.wait_ready())
    )
    return kafka.bootstrap


async def start_postgres(site: Site) -> str:
    """Bring up the database; give its address, with the password.

    Raises
    ------
    StartError, ProgramFailedError, MissingProgramError
        It cannot be brought up.
    """
    postgres = EmbeddedPostgres(site.home, site.ports, site.environment)
    creation = postgres.create_unit()
    if creation is not None:
        await site.timed("Postgres data directory created", site.table.run(creation))
        postgres.keep_created()
    await postgres.clear_leftover()
    keeper = site.keep(postgres.unit())
    await site.timed(f"Postgres answers on {postgres.place}", until_ready(keeper, postgres.wait_ready()))
    return postgres.url


async def until_ready(keeper: Keeper, ready: Awaitable[None]) -> None:
    """Wait for the first answer of a kept program.

    Raises
    ------
    StartError
        No answer in time, or the program keeps ending; the message holds the end of its log.
    """
    waiting = asyncio.ensure_future(ready)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=0.2)
                _check(keeper)
            await waiting
    except TimeoutError:
        raise StartError(
            f"{keeper.unit.name} does not answer after {READY_TIMEOUT_S:.0f} s,"
            f" {describe_log(keeper.unit.log)}"
        ) from None
    finally:
        waiting.cancel()


def _check(keeper: Keeper) -> None:
    if keeper.restarts >= ENDS_BEFORE_READY:
        raise StartError(
            f"{keeper.unit.name} ended {keeper.restarts} times (exit code {keeper.last_exit}),"
            f" {describe_log(keeper.unit.log)}"
        )
