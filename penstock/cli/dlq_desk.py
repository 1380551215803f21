"""The desk as a command works at it: the log of acts, whether redrives are paused, and what it can reach."""

import asyncio
import getpass
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from adapters.kafka.admin import require_epoch
from adapters.kafka.appender import KafkaAppender
from adapters.kafka.reader import KafkaReader
from core.log import Appended, NewRecord
from penstock.cli.appending import appending
from penstock.cli.connect import Connections
from penstock.cli.dlq_rows import followed_until
from penstock.cli.queries import Database, connected
from penstock.cli.reading import reading, require_topics
from schemas.desk import (
    ActBegun,
    ActEnded,
    ActKind,
    DeskRecord,
    DeskStanding,
    Letter,
    Outcome,
    desk_record,
    place_of_desk,
    portions,
)

APPEND_TIMEOUT_S = 60.0
POLL_S = 0.5
FOLLOWED_LIMIT_S = 10.0
"""How long the tables are waited for until they show what the desk's log says: usually they do at once."""
LOOK_EVERY_S = 0.2


class Desk:
    """One command at the desk.

    Attributes
    ----------
    database
        The tables, for reading.
    epoch
        Jobs of other epochs cannot be redriven.
    """

    def __init__(
        self, where: Connections, epoch: str, reader: KafkaReader, appender: KafkaAppender, database: Database
    ) -> None:
        self.routes = where.routes
        self.kafka = where.kafka
        self.epoch = epoch
        self.database = database
        self._reader = reader
        self._appender = appender
        self._standing = DeskStanding()

    async def append(self, records: Sequence[NewRecord]) -> list[Appended]:
        """Append, and wait for all acknowledgements."""
        async with asyncio.timeout(APPEND_TIMEOUT_S):
            return await self._appender.append(records)

    async def tell(self, *messages: DeskRecord) -> None:
        """Put records into the desk's log."""
        await self.append([desk_record(self.routes, message) for message in messages])

    async def begin(
        self,
        what: ActKind,
        *,
        filter_: str = "",
        reason: str = "",
        found: int = 0,
        rate_per_s: float | None = None,
        edit: str = "",
    ) -> str:
        """Tell that an act begins; give its id."""
        act = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        await self.tell(ActBegun(act, what, who(), reason, filter_, found, rate_per_s, edit))
        return act

    async def treat(self, act: str, what: ActKind, letters: Sequence[Letter]) -> None:
        """Tell which letters it is about to be done to."""
        await self.tell(*portions(act, what, letters))

    async def end(self, act: str, outcome: Outcome, words: str) -> None:
        """Tell how the act ended."""
        await self.tell(ActEnded(act, outcome, words))

    async def paused(self) -> ActBegun | None:
        """Read on to the end of the desk's log; give who paused redrives, None when they may go on."""
        place = place_of_desk(self.routes)
        end = (await self._reader.end_offsets([place]))[place]
        while self._reader.position(place) < end:
            for record in await self._reader.poll(POLL_S):
                self._standing.take(record)
        return self._standing.paused

    async def shown(self) -> bool:
        """Wait until the tables show what the desk's log says now; False when they do not in time."""
        place = place_of_desk(self.routes)
        end = (await self._reader.end_offsets([place]))[place]
        try:
            async with asyncio.timeout(FOLLOWED_LIMIT_S):
                # It is another process that changes the table.
                while end and await followed_until(self.database, self.epoch) < end:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True


def who() -> str:
    """Give the name under which this person acts."""
    return f"cli:{getpass.getuser()}"


@asynccontextmanager
async def at_the_desk(where: Connections) -> AsyncIterator[Desk]:
    """Reach the log and the tables, for the length of a block."""
    routes = where.routes
    await require_topics(where.kafka, [routes.desk, routes.dead, routes.ledger])
    epoch = (await require_epoch(where.kafka, routes)).epoch
    async with (
        connected(where.database) as database,
        reading(where.kafka) as reader,
        appending(where) as appender,
    ):
        place = place_of_desk(routes)
        await reader.assign(await reader.start_offsets([place]))
        yield Desk(where, epoch, reader, appender, database)
