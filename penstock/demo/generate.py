"""The generated workload: a seeded mix of job types with heavy-tailed run times and a few failures. Pure."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from penstock.demo.malformed import MALFORMED
from penstock.demo.plan import Ending, Plan, PlannedJob, PlannedMalformed, PlannedRepeat, Submission

ARRIVALS_PER_S = 50.0
"""Mean rate: 2,000 jobs arrive within 40 s. With the run times below about half of 64 slots are busy."""
BURST_SEGMENT_S = 2.0
BURST_SHARE = 0.25
BURST_RATIO = 5.0
"""A quarter of the 2 s segments arrives five times as densely as the rest: queues form and drain."""
RUN_MAX_S = 12.0
"""Longest run time; keeps the tail heavy but the demo short."""
TENANTS = (("acme", 0.7), ("globex", 0.3))
RUN_AT_SHARE = 0.03
RUN_AT_MAX_S = 6.0
REPEAT_SHARE = 0.005
MALFORMED_SHARE = 0.004
EXTRAS_FROM_JOBS = 20
"""From this many jobs on there is at least one repeat and one malformed record."""
OVERRUN_TIMEOUT_S = 1
OVERRUN_S = 30.0
"""An overrunning attempt would sleep this long; its limit stops it after ``OVERRUN_TIMEOUT_S``."""


@dataclass(frozen=True, slots=True)
class TypeMix:
    """One job type: its share, and a lognormal run time (``median_s``, ``sigma`` of the logarithm)."""

    name: str
    weight: float
    median_s: float
    sigma: float
    cpu_s: float = 0.0
    priority: int = 5


MIX = (
    TypeMix("email.send", 0.28, 0.15, 0.7, priority=6),
    TypeMix("webhook.deliver", 0.18, 0.25, 1.0),
    TypeMix("image.resize", 0.15, 0.35, 0.8, cpu_s=0.004),
    TypeMix("invoice.charge", 0.11, 0.4, 0.6, priority=8),
    TypeMix("report.build", 0.09, 1.5, 1.0, cpu_s=0.01, priority=3),
    TypeMix("etl.load", 0.06, 2.0, 1.3, priority=1),
    TypeMix("model.score", 0.09, 0.1, 0.5, cpu_s=0.003, priority=7),
    TypeMix("search.index", 0.04, 0.6, 1.2, priority=2),
)


@dataclass(frozen=True, slots=True)
class FailureMix:
    """One way to fail: its share of jobs, and which attempts it fails (None: every one)."""

    outcome: str
    weight: float
    fail_attempts: int | None
    ending: Ending = Ending.SUCCEEDED
    max_attempts: int = 5


FAILURES = (
    FailureMix("permanent", 0.012, None, Ending.DEAD),
    FailureMix("transient", 0.016, 1),
    FailureMix("transient", 0.006, 2),
    FailureMix("transient", 0.002, None, Ending.DEAD, max_attempts=3),
    FailureMix("overload", 0.008, 1),
    FailureMix("overrun", 0.004, 1),
)
"""Together about 5 % of all attempts."""


def generate(jobs: int, seed: int) -> Plan:
    """Plan ``jobs`` jobs with repeats and malformed records besides; equal arguments give equal plans."""
    dice = random.Random(seed)
    arrivals = _arrivals(dice, jobs)
    planned = [_job(dice, number, at_s) for number, at_s in enumerate(arrivals)]
    planned = _with_keys(dice, planned)
    span_s = arrivals[-1] if arrivals else 0.0
    submissions: list[Submission] = [*planned, *_repeats(dice, planned), *_malformed(dice, jobs, span_s)]
    submissions.sort(key=lambda item: item.at_s)
    note = f"{jobs} generated jobs of {len(MIX)} types over {span_s:.0f} s, seed {seed}."
    return Plan(submissions, notes=(note,))


def _arrivals(dice: random.Random, jobs: int) -> list[float]:
    """Arrival times of a Poisson process whose rate changes between calm and burst, given their number."""
    span_s = max(1.0, jobs / ARRIVALS_PER_S)
    segments = math.ceil(span_s / BURST_SEGMENT_S)
    rates = [BURST_RATIO if dice.random() < BURST_SHARE else 1.0 for _ in range(segments)]
    length_s = span_s / segments
    chosen = dice.choices(range(segments), weights=rates, k=jobs)
    return sorted((segment + dice.random()) * length_s for segment in chosen)


def _job(dice: random.Random, number: int, at_s: float) -> PlannedJob:
    kind = dice.choices(MIX, weights=[mix.weight for mix in MIX])[0]
    run_s = min(RUN_MAX_S, dice.lognormvariate(math.log(kind.median_s), kind.sigma))
    tenant = dice.choices([name for name, _ in TENANTS], weights=[share for _, share in TENANTS])[0]
    job = PlannedJob(
        number=number,
        at_s=at_s,
        type=kind.name,
        tenant=tenant,
        work={"run_s": round(run_s, 3), "cpu_s": kind.cpu_s, "outcome": "ok", "fail_attempts": None},
        ending=Ending.SUCCEEDED,
        priority=kind.priority,
        run_in_s=round(dice.uniform(1.0, RUN_AT_MAX_S), 3) if dice.random() < RUN_AT_SHARE else None,
    )
    return _with_failure(job, dice.random())


def _with_failure(job: PlannedJob, draw: float) -> PlannedJob:
    """Make the job fail as the draw (uniform in [0, 1)) says; most draws leave it as it is."""
    for failure in FAILURES:
        draw -= failure.weight
        if draw < 0:
            break
    else:
        return job
    changes: dict[str, object] = {"outcome": failure.outcome, "fail_attempts": failure.fail_attempts}
    timeout_s = job.timeout_s
    if failure.outcome == "overrun":
        # The later attempt must stay well below the limit that stops the first one.
        changes |= {"run_s": 0.2, "overrun_s": OVERRUN_S}
        timeout_s = OVERRUN_TIMEOUT_S
    return replace(
        job,
        work=job.work | changes,
        ending=failure.ending,
        max_attempts=failure.max_attempts,
        timeout_s=timeout_s,
    )


def _with_keys(dice: random.Random, jobs: list[PlannedJob]) -> list[PlannedJob]:
    """Give some jobs an idempotency key; those without ``run_at``, whose body never changes."""
    able = [job.number for job in jobs if job.run_in_s is None]
    chosen = set(dice.sample(able, min(len(able), _count(REPEAT_SHARE, len(jobs)))))
    return [replace(job, keyed=True) if job.number in chosen else job for job in jobs]


def _repeats(dice: random.Random, jobs: list[PlannedJob]) -> Iterator[PlannedRepeat]:
    for job in jobs:
        if job.keyed:
            yield PlannedRepeat(job.at_s + dice.uniform(0.001, 3.0), job)


def _malformed(dice: random.Random, jobs: int, span_s: float) -> Iterator[PlannedMalformed]:
    offset = dice.randrange(len(MALFORMED))
    for index in range(_count(MALFORMED_SHARE, jobs)):
        yield PlannedMalformed(dice.uniform(0, span_s), MALFORMED[(offset + index) % len(MALFORMED)])


def _count(share: float, jobs: int) -> int:
    return 0 if jobs < EXTRAS_FROM_JOBS else max(1, round(share * jobs))
