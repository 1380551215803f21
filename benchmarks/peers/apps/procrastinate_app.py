"""Procrastinate on Postgres; the row of a job says how it ended.

Settings, from Procrastinate's documentation:

- ``--concurrency 30``: ``App.run_worker``, for tasks that are coroutines; the number is ours.
- Two workers, one a core: the same, since jobs of one worker share its event loop.
- ``listen_notify`` stays on: ``App.run_worker``, "lower latency for job updates compared to polling alone".
- ``batch_defer_async``: "more efficient than deferring them one by one".
- Jobs are kept (``delete_jobs`` is ``never`` by default), for their rows are the final state.

Run with ``python -m`` it is the driver.
"""

import os
from collections.abc import Sequence

import psycopg
from procrastinate import App, PsycopgConnector

from benchmarks.peers.apps.driver import CHUNK, serve
from benchmarks.peers.apps.effects import note, payload

URL = os.environ["PEERS_POSTGRES"]
_ENDED = "SELECT id::text FROM procrastinate_jobs WHERE id = ANY(%s::bigint[]) AND status = 'succeeded'"

app = App(connector=PsycopgConnector(conninfo=URL))


@app.task(name="noop")
async def noop(number: int, text: str) -> None:  # noqa: ARG001 - the payload's filling
    """Note that it ran."""
    note(number)


class Submitter:
    """Defers through the app's own connections."""

    packages = ("procrastinate", "psycopg")

    async def open(self) -> None:
        """Connect; makes the tables."""
        await app.open_async()
        await app.schema_manager.apply_schema_async()
        self._table = await psycopg.AsyncConnection.connect(URL, autocommit=True, prepare_threshold=1)

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        """Defer in batches."""
        ids: list[str] = []
        for first in range(0, len(numbers), CHUNK):
            batch = [payload(number) for number in numbers[first : first + CHUNK]]
            ids += [str(job_id) for job_id in await noop.batch_defer_async(*batch)]
        return ids

    async def submit(self, number: int) -> str:
        """Defer one."""
        return str(await noop.defer_async(**payload(number)))

    async def ended(self, ids: Sequence[str]) -> set[str]:
        """Read the rows."""
        cursor = await self._table.execute(_ENDED, (list(ids),))
        return {str(job_id) for (job_id,) in await cursor.fetchall()}


if __name__ == "__main__":
    serve(Submitter())
