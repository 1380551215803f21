"""Where a queued job stands and when it is expected to start, from rows and heartbeats. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from core.expected_start import ExpectedStart, Overtaking, Slots, Work, expected_start, not_before
from core.limits import Limit
from core.queue_place import taken_before_ms
from core.slot_times import DRIFT_SHARE, Hold, Past, SlotTimes, idle_between_s
from core.states import State
from core.subjects import JobNames, Scope, Subject
from penstock.cli.executors import Executor
from penstock.cli.why_rows import ARRIVALS_MAX, ARRIVALS_WITHIN_S, EARLIEST
from schemas.standing_orders import StandingOrders

Row = Mapping[str, Any]
ENDED = ("succeeded", "failed")


@dataclass(frozen=True)
class Ahead:
    """Jobs of one bucket, type and tenant that are taken before."""

    bucket: int
    type: str
    tenant: str
    jobs: int
    predicted_s: float
    """Run time all of them together are predicted to take."""


@dataclass(frozen=True)
class Served:
    """Who takes jobs of the pool now, by the last heartbeats."""

    executors: int
    slots: int
    busy: int
    hosts: tuple[str, ...] = ()
    draining: int = 0
    """Executors that take no more."""
    silent: int = 0
    """Executors whose lease has lapsed."""
    knows_type: bool = True


@dataclass(frozen=True)
class QueueView:
    """What can be said of a job's place; times are seconds from now."""

    ahead: tuple[Ahead, ...]
    overtaken_until: dict[int, float]
    """By more urgent bucket: how much longer what comes into it overtakes."""
    served: Served | None = None
    start: ExpectedStart | None = None
    overtaking_load: float = 0.0
    """Slots that more urgent jobs kept busy lately."""
    limits: dict[str, float] = field(default_factory=dict)
    """Starts a second, by limited subject of the job."""
    paused: str | None = None
    tied: int = 0
    """Others that became ready in the same instant, before it or behind: they may start in any order."""
    supported: float = 0.0
    """Share of the jobs ahead whose kind has ended lately: the others' times are mere predictions."""

    @property
    def before(self) -> int:
        """How many jobs are taken before."""
        return sum(one.jobs for one in self.ahead)

    @property
    def predicted_s(self) -> float:
        """Run time they are predicted to take."""
        return sum(one.predicted_s for one in self.ahead)


class Seen(NamedTuple):
    """What was asked for one queued job; None: that could not be found out."""

    ahead: Sequence[Row]
    recent: Sequence[Row] | None
    arrivals: Sequence[Row] | None
    executors: Sequence[Executor] | None
    orders: StandingOrders | None


def lanes_before(
    job: Row, heads: Mapping[int, datetime] | None, per_decade_s: float
) -> dict[int, tuple[datetime, datetime]]:
    """Give the stretch of ready times in every bucket in which jobs stand before this one.

    Parameters
    ----------
    heads
        By bucket, where the executors are; None when that is not known: everything is looked through.
    """
    since = job["ready_at"]
    stretches: dict[int, tuple[datetime, datetime]] = {}
    for bucket, later_ms in enumerate(taken_before_ms(0.0, job["bucket"], per_decade_s)):
        until = since + timedelta(milliseconds=later_ms)
        if heads is None:
            stretches[bucket] = (EARLIEST, until)
        elif bucket in heads and heads[bucket] <= until:
            stretches[bucket] = (heads[bucket], until)
    return stretches


def served_by(executors: Iterable[Executor], pool: str, type_: str) -> Served:
    """Say who takes jobs of a pool."""
    mine = [one for one in executors if one.heartbeat.pool == pool]
    alive = [one.heartbeat for one in mine if one.state == "alive"]
    states = Counter(one.state for one in mine)
    return Served(
        executors=len(alive),
        slots=sum(one.slots for one in alive),
        busy=sum(min(len(one.held), one.slots) for one in alive),
        hosts=tuple(sorted({one.host for one in alive})),
        draining=states["draining"],
        silent=states["silent"],
        knows_type=not alive or any(not one.types or type_ in one.types for one in alive),
    )


def view_of(job: Row, seen: Seen, now: datetime, per_decade_s: float) -> QueueView:
    """Put together what is known of a queued job's place and start."""
    around = [row for row in seen.ahead if not _is_paused(seen.orders, row, job["pool"])]
    ahead = _ahead_in(row for row in around if row["before"])
    windows = taken_before_ms((job["ready_at"] - now).total_seconds() * 1000, job["bucket"], per_decade_s)
    until = {bucket: windows[bucket] / 1000 for bucket in range(job["bucket"]) if windows[bucket] > 0}
    times = SlotTimes([*past_of(seen.recent or ()), *_running(seen.recent or (), now)])
    overtaking = overtaking_of(seen.arrivals or (), times, until, now)
    limits = _limits(seen.orders, job)
    supported = sum(one.jobs for one in ahead if times.expected(one.type, one.bucket, 1.0).jobs)
    served = None if seen.executors is None else served_by(seen.executors, job["pool"], job["type"])
    held_for = None if seen.orders is None else seen.orders.pause_of(_names(job, job["pool"]))
    start = None
    if served is not None and held_for is None:
        idle_s = idle_of(seen, job["pool"])
        busy = busy_of(seen.recent or (), served, times, now)
        slots = Slots(served.slots, max(1, served.executors), busy)
        start = _among_tied(
            *(
                expected_start(work_of(some, times, idle_s, seen.orders, job["pool"]), slots, overtaking)
                for some in (_ahead_in(row for row in around if not row["tied"]), ahead, _ahead_in(around))
            )
        )
        for subject, limit in limits.items():
            if start is not None:
                start = not_before(start, _ahead_of(subject, ahead), limit.rate_per_s, limit.burst)
    return QueueView(
        ahead=tuple(sorted(ahead, key=lambda one: (-one.predicted_s, one.bucket, one.type, one.tenant))),
        overtaken_until=until,
        served=served,
        start=start,
        overtaking_load=sum(one.load for one in overtaking),
        limits={str(subject): limit.rate_per_s for subject, limit in limits.items()},
        paused=None if held_for is None else str(held_for.subject),
        tied=sum(row["jobs"] for row in around if row["tied"]),
        supported=supported / sum(one.jobs for one in ahead) if ahead else 1.0,
    )


def _ahead_in(rows: Iterable[Row]) -> tuple[Ahead, ...]:
    found: dict[tuple[int, str, str], tuple[int, float]] = {}
    for row in rows:
        kind = row["bucket"], row["type"], row["tenant"]
        jobs, predicted_s = found.get(kind, (0, 0.0))
        found[kind] = jobs + row["jobs"], predicted_s + float(row["predicted_s"])
    return tuple(Ahead(*kind, *sums) for kind, sums in found.items())


def _among_tied(
    first: ExpectedStart | None, start: ExpectedStart | None, last: ExpectedStart | None
) -> ExpectedStart | None:
    """Widen an interval to that of a job which is taken first, or last, of those it is tied with."""
    if first is None or start is None or last is None:
        return None
    return ExpectedStart(min(first.low_s, start.low_s), start.point_s, max(last.high_s, start.high_s))


def past_of(recent: Iterable[Row]) -> list[Past]:
    """Give what ended of the jobs taken last, as slots saw it."""
    return [
        Past(row["type"], row["bucket"], float(row["predicted_s"]), max(0.0, float(row["slot_s"])))
        for row in recent
        if row["outcome"] in ENDED and row["slot_s"] is not None
    ]


def _running(recent: Iterable[Row], now: datetime) -> Iterator[Past]:
    for row in recent:
        if row["state"] == State.RUNNING and row["outcome"] is None and row["claimed_at"] is not None:
            elapsed_s = max(0.0, (now - row["claimed_at"]).total_seconds())
            yield Past(row["type"], row["bucket"], float(row["predicted_s"]), elapsed_s, has_ended=False)


def holds_of(recent: Iterable[Row]) -> list[Hold]:
    """Give the jobs taken last as executors held them."""
    holds = []
    for row in recent:
        if row["claimed_at"] is not None and row["executor_id"] is not None:
            claimed_s = row["claimed_at"].timestamp()
            ended_s = None if row["slot_s"] is None else claimed_s + float(row["slot_s"])
            holds.append(Hold(row["executor_id"], claimed_s, ended_s, float(row["waited_s"] or 0.0)))
    return holds


def idle_of(seen: Seen, pool: str) -> float:
    """Give how long slots of the pool stay free between jobs, up to the newest end or claim in the table."""
    holds = holds_of(seen.recent or ())
    newest_s = max((one.ended_s or one.claimed_s for one in holds), default=0.0)
    return idle_between_s(holds, _slots(seen.executors, pool), newest_s)


def _slots(executors: Iterable[Executor] | None, pool: str) -> dict[str, int]:
    mine = [one for one in executors or () if one.heartbeat.pool == pool and one.state == "alive"]
    return {one.heartbeat.executor: one.heartbeat.slots for one in mine}


def work_of(
    ahead: Iterable[Ahead], times: SlotTimes, idle_s: float, orders: StandingOrders | None, pool: str
) -> list[Work]:
    """Give the work ahead as slots will see it, the most urgent buckets first.

    Parameters
    ----------
    idle_s
        How long a slot stays free before each job.
    """
    kinds: dict[tuple[int, str, bool], tuple[int, float]] = {}
    for one in ahead:
        limited = bool(orders and orders.limits_of(JobNames(one.type, one.tenant, pool)))
        jobs, predicted_s = kinds.get((one.bucket, one.type, limited), (0, 0.0))
        kinds[one.bucket, one.type, limited] = (jobs + one.jobs, predicted_s + one.predicted_s)
    work = []
    for (bucket, type_, limited), (jobs, predicted_s) in sorted(kinds.items()):
        time = times.expected(type_, bucket, predicted_s / jobs)
        error_s = time.error_s + DRIFT_SHARE * idle_s
        work.append(Work(jobs, time.mean_s + idle_s, time.sd_s, error_s, may_be_passed=limited))
    return work


def busy_of(recent: Iterable[Row], served: Served, times: SlotTimes, now: datetime) -> list[Work]:
    """Give what the jobs still take that run now; of those not among the last ones taken, an average.

    One that has run for longer than such jobs do is taken to need their spread once more.
    """
    running: list[Work] = []
    for row in recent:
        if row["state"] == State.RUNNING and row["outcome"] is None and row["claimed_at"] is not None:
            time = times.expected(row["type"], row["bucket"], float(row["predicted_s"]))
            elapsed_s = (now - row["claimed_at"]).total_seconds()
            running.append(Work(1, max(time.mean_s - max(0.0, elapsed_s), time.sd_s), time.sd_s))
    running = running[: served.busy]
    missing = served.busy - len(running)
    if missing:
        others = [job.slot_s for job in past_of(recent)]
        mean_s = sum(others) / len(others) / 2 if others else 0.0
        running += [Work(1, mean_s, mean_s)] * missing
    return running


def overtaking_of(
    arrivals: Sequence[Row], times: SlotTimes, until: Mapping[int, float], now: datetime
) -> list[Overtaking]:
    """Give what may still overtake if it keeps arriving as it lately did, by bucket."""
    found = []
    for bucket, until_s in until.items():
        came = [row for row in arrivals if row["bucket"] == bucket]
        jobs = sum(row["jobs"] for row in came)
        if not jobs:
            continue
        within_s = ARRIVALS_WITHIN_S
        if jobs >= ARRIVALS_MAX:
            within_s = max(1.0, (now - min(row["since"] for row in came)).total_seconds())
        work_s = sum(
            row["jobs"] * times.expected(row["type"], bucket, float(row["predicted_s"]) / row["jobs"]).mean_s
            for row in came
        )
        found.append(Overtaking(work_s / within_s, until_s))
    return found


def _names(row: Row, pool: str) -> JobNames:
    return JobNames(row["type"], row["tenant"], pool)


def _is_paused(orders: StandingOrders | None, row: Row, pool: str) -> bool:
    return orders is not None and orders.pause_of(_names(row, pool)) is not None


def _limits(orders: StandingOrders | None, job: Row) -> dict[Subject, Limit]:
    if orders is None:
        return {}
    return {one: orders.limits[one] for one in orders.limits_of(_names(job, job["pool"]))}


def _ahead_of(subject: Subject, ahead: Iterable[Ahead]) -> int:
    return sum(
        one.jobs for one in ahead if (one.type if subject.scope is Scope.TYPE else one.tenant) == subject.name
    )
