"""Pure simulation of queues: what the same arrivals and run times would have waited elsewhere.

Slots do not interrupt; a free slot takes the waiting job with the smallest ready time less head start,
as executors do (``core/head_order.py``). Nothing else costs time here: no log, no claim, no process.
"""

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple


class Arrival(NamedTuple):
    """One job; seconds from any common beginning."""

    ready_s: float
    """When it enters the queue."""
    run_s: float
    head_start_s: float = 0.0
    island: int = 0
    """Which queue it stands in when queues are islands."""


def shared_waits(arrivals: Sequence[Arrival], slots: int) -> list[float]:
    """Give the wait of each job, seconds, when all slots serve one queue."""
    order = sorted(range(len(arrivals)), key=lambda index: arrivals[index].ready_s)
    waits = [0.0] * len(arrivals)
    free_at = [-math.inf] * slots
    waiting: list[tuple[float, int]] = []
    position, now_s = 0, -math.inf
    while position < len(order) or waiting:
        # The next start is when a slot is free and somebody is there.
        now_s = max(now_s, free_at[0])
        if not waiting:
            now_s = max(now_s, arrivals[order[position]].ready_s)
        while position < len(order) and arrivals[order[position]].ready_s <= now_s:
            job = arrivals[order[position]]
            heapq.heappush(waiting, (job.ready_s - job.head_start_s, order[position]))
            position += 1
        _, index = heapq.heappop(waiting)
        waits[index] = now_s - arrivals[index].ready_s
        heapq.heapreplace(free_at, now_s + arrivals[index].run_s)
    return waits


def island_waits(arrivals: Sequence[Arrival], slots: int) -> list[float]:
    """Give the wait of each job, seconds, when every island has ``slots`` of its own and serves itself."""
    waits = [0.0] * len(arrivals)
    for island in {job.island for job in arrivals}:
        members = [index for index, job in enumerate(arrivals) if job.island == island]
        for index, wait_s in zip(
            members, shared_waits([arrivals[index] for index in members], slots), strict=True
        ):
            waits[index] = wait_s
    return waits


def erlang_c(slots: int, load: float) -> float:
    """Give the share of jobs that wait in M/M/c, by formula; ``load`` is of one slot, below 1."""
    offered = slots * load
    busy = offered**slots / math.factorial(slots) / (1 - load)
    return busy / (sum(offered**k / math.factorial(k) for k in range(slots)) + busy)
