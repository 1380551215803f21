"""What a snapshot costs at full size: memory, bytes, time, and how long the event loop waits for it.

``python -m benchmarks.snapshot_restore [--finished N] [--open N] [--homes P] [--cancels N]``
prints one JSON object. The log is in memory, so that what is measured is ours and not the broker's.
"""

import argparse
import asyncio
import gc
import json
import random
import resource
import time
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from pyroaring import BitMap64

from adapters.memory.appender import MemoryAppender
from adapters.memory.broker import MemoryBroker
from adapters.memory.reader import MemoryReader
from core.ledger.fold import LedgerFold
from core.ledger.verdicts import Cancel, Claimed, Failed
from ports.snapshots import SnapshotStore
from schemas.topics import RouteMap

EPOCH = "0badcafe"
FAILED_SHARE = 0.05
TICK_S = 0.001
T = TypeVar("T")


class Watched(NamedTuple):
    """How long a call took, and the longest time the loop did nothing else."""

    seconds: float
    stall_ms: float


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a kernel interface
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _job_id(number: int) -> str:
    return f"01890000-0000-7000-8000-{number:012d}"


def filled_fold(finished: int, open_jobs: int, homes: int, cancels: int) -> LedgerFold:
    """Give a fold of one of ``homes`` partitions, whose jobs stand on as many partitions of ``jobs``."""
    fold, draw = LedgerFold(EPOCH), random.Random(1)
    each = finished // homes
    for partition in range(homes):
        places = draw.sample(range(each * homes), each)
        failed = places[: int(each * FAILED_SHARE)]
        fold._finished.put(0, partition, BitMap64(places).serialize())  # noqa: SLF001 - a shortcut
        fold._finished.put(1, partition, BitMap64(failed).serialize())  # noqa: SLF001 - of millions of verdicts
    offset = 4 * finished
    for number in range(open_jobs):
        origin = f"{EPOCH}:{number % homes}:{finished * homes + number}"
        executor = f"executor-{number % 16}.0123456789ab"
        claim = Claimed(origin, _job_id(number), 1, executor, "jobs.exec.default.b3", 0, offset)
        fold.apply(offset, offset, claim)
        if number % 4 == 0:
            error = f"connection to host {number} refused"
            fold.apply(
                offset + 1,
                offset,
                Failed(origin, claim.job_id, 1, executor, 1, 0.5, "transient", "OSError", error, 3),
            )
        offset += 2
    for number in range(cancels):
        fold.apply(offset + number, offset, Cancel("", _job_id(10**9 + number), "benchmark"))
    return fold


async def watched(work: Coroutine[Any, Any, T]) -> tuple[T, Watched]:
    """Run ``work`` beside a task that only looks how late it is called."""
    stall_s, done = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal stall_s
        while not done.is_set():
            before_s = time.perf_counter()
            await asyncio.sleep(TICK_S)
            stall_s = max(stall_s, time.perf_counter() - before_s - TICK_S)

    watcher = asyncio.create_task(watch())
    started_s = time.perf_counter()
    result = await work
    taken = time.perf_counter() - started_s
    done.set()
    await watcher
    return result, Watched(taken, stall_s * 1000)


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Fill, picture, save and restore once."""
    empty_mb = _resident_mb()
    fold = filled_fold(options.finished, options.open, options.homes, options.cancels)
    gc.collect()
    full_mb = _resident_mb()
    routes = RouteMap(partitions=1)
    broker = MemoryBroker(lambda: 0)
    broker.create_topics(routes.specs())
    store = SnapshotStore(routes, EPOCH, MemoryAppender(broker), MemoryReader(broker), "benchmark")

    started_s = time.perf_counter()
    image = fold.image()
    image_ms = (time.perf_counter() - started_s) * 1000
    manifest, saved = await watched(store.save(0, image))
    assert manifest is not None
    del image
    gc.collect()
    before_mb = _resident_mb()
    restored, loaded = await watched(store.load(0, fold.next_offset))
    assert restored is not None
    assert restored.image() == fold.image()
    gc.collect()
    return {
        "finished": fold.finished_jobs,
        "open": len(fold.open),
        "fold_mb": round(full_mb - empty_mb, 1),
        "image_ms": round(image_ms, 1),
        "save_s": round(saved.seconds, 2),
        "save_stall_ms": round(saved.stall_ms, 1),
        "snapshot_mb": round(manifest.size_bytes / 1e6, 1),
        "chunks": manifest.chunks,
        "restore_s": round(loaded.seconds, 2),
        "restore_stall_ms": round(loaded.stall_ms, 1),
        "restored_mb": round(_resident_mb() - before_mb, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", type=int, default=10_000_000)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--homes", type=int, default=4)
    parser.add_argument("--cancels", type=int, default=1_000)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
