"""A small executor for the parent-death test: starts a pool, says its workers' pids, runs for ever."""

import asyncio
import sys

from penstock.worker.frames import StartJob
from services.executor.leased import boot_clock_s
from services.executor.workers.options import PoolOptions
from services.executor.workers.pool import WorkerPool


async def main() -> None:
    pool = WorkerPool(PoolOptions(workers=2, app=("jobs_of_tests",), app_path=(sys.argv[1],)))
    await pool.start()
    pool.renew_lease(boot_clock_s() + float(sys.argv[2]))
    pool.submit([StartJob("e:0:0/1", "id", "spin.sync", "default", 1, 1, None, {}, b"{}", 3600.0)])
    print(*pool.pids, flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
