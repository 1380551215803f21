"""What a job was measured to cost, from the rounds of a benchmark to what plans need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import NamedTuple

from core.planning.laws import Scalability, fit_scalability
from core.services import JOB_SERVICES

WORKERS, KAFKA, POSTGRES = "workers", "kafka", "postgres"
PIPELINE = (*JOB_SERVICES, WORKERS, KAFKA, POSTGRES)
"""Whose CPU is planned, as the benchmarks name them; the others cost nothing that grows with jobs."""


class CostsError(ValueError):
    """These measurements do not say what a job costs; the message says what is missing."""


class Range(NamedTuple):
    """A figure and how far measurements of it lay apart: the least, the median, the most."""

    low: float
    typical: float
    high: float

    def times(self, factor: float) -> "Range":
        """Scale all three."""
        return Range(self.low * factor, self.typical * factor, self.high * factor)


def spread(values: Iterable[float]) -> Range:
    """Give the range of at least one measurement. It is what was seen, no confidence interval."""
    known = sorted(values)
    return Range(known[0], median(known), known[-1])


@dataclass(frozen=True, slots=True)
class Point:
    """One load on one shape of the pipeline, in several rounds; bytes are empty where not measured."""

    partitions: int
    instances: int
    payload_bytes: int
    attempts_per_job: int
    jobs: int
    """A round."""
    cpu_us: tuple[Mapping[str, float], ...]
    """By process, each round; instances of a service together."""
    jobs_per_s: tuple[float, ...]
    log_bytes: Mapping[str, float] = field(default_factory=dict)
    """A job, by topic, as one replica keeps them."""
    table_bytes: Mapping[str, float] = field(default_factory=dict)
    """A job, by table, indexes included."""
    wal_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Amount:
    """What one job takes of something, in any unit.

    Attributes
    ----------
    base
        A job that succeeds at once, with the least payload that was measured.
    a_payload_byte, a_failure
        What each adds.
    a_partition
        What each partition an instance has beyond ``Reach.base_partitions`` adds.
    """

    base: Range
    a_payload_byte: float = 0.0
    a_failure: float = 0.0
    a_partition: float = 0.0

    def of(self, more_payload_bytes: float, failures: float) -> Range:
        """Give it for such a job; the spread of the base, in proportion, holds for all of it."""
        more = self.a_payload_byte * more_payload_bytes + self.a_failure * failures
        if self.base.typical == 0:
            return Range(more, more, more)
        return self.base.times(1 + more / self.base.typical)


NOTHING = Amount(Range(0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where, when and on what the costs were measured."""

    processor: str
    cores: int
    python: str
    commit: str
    measured_at: str
    load_1min: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How far was measured; whatever is planned beyond that is extrapolated."""

    jobs_per_s: float
    base_partitions: int
    partitions: int
    instances: int
    base_payload_bytes: int
    payload_bytes: int
    failures: bool
    volume: bool
    """Whether bytes in log and tables were measured."""
    rows: int
    """Jobs of all rounds on one shape: about so many rows were there."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a job costs, by process (microseconds), topic, table and in Postgres' log (bytes)."""

    provenance: Provenance
    reach: Reach
    cpu_us: Mapping[str, Amount]
    log_bytes: Mapping[str, Amount]
    table_bytes: Mapping[str, Amount]
    wal_bytes: Amount
    scaling: Scalability
    alone_us: Mapping[str, float] = field(default_factory=dict)
    """What a job costs more when each of its records is a batch of its own, by process."""
    borrowed: tuple[str, ...] = ()
    """What these measurements lack and others were taken for."""


def fit(points: Sequence[Point], provenance: Provenance) -> Costs:
    """Make costs of measured points: what a job, a byte of payload, a failure and a partition cost.

    The base is the plain point of fewest partitions and instances. Its rounds give the spread.

    Raises
    ------
    CostsError
        No plain point is among them, or it lacks a process.
    """
    plain = sorted(
        (one for one in points if one.attempts_per_job == 1),
        key=lambda one: (one.payload_bytes, one.partitions, one.instances),
    )
    if not plain or not plain[0].cpu_us:
        raise CostsError("they hold no backlog of plain jobs: `make bench` measures one (--only throughput)")
    base = plain[0]
    missing = [name for name in PIPELINE if not all(name in one for one in base.cpu_us)]
    if missing:
        raise CostsError(
            f"they say nothing of the CPU of {', '.join(missing)}: measure with the whole pipeline"
        )
    volume = bool(base.log_bytes and base.table_bytes)
    return Costs(
        provenance=provenance,
        reach=Reach(
            jobs_per_s=max(max(one.jobs_per_s) for one in plain),
            base_partitions=base.partitions,
            partitions=max(one.partitions for one in plain),
            instances=max(one.instances for one in plain),
            base_payload_bytes=base.payload_bytes,
            payload_bytes=max(one.payload_bytes for one in plain),
            failures=_failing(points, base) is not None,
            volume=volume,
            rows=base.jobs * len(base.cpu_us),
        ),
        cpu_us={name: _amount(points, base, [_cpu(one, name) for one in points]) for name in PIPELINE},
        log_bytes=_volumes(points, base, [one.log_bytes for one in points]) if volume else {},
        table_bytes=_volumes(points, base, [one.table_bytes for one in points]) if volume else {},
        wal_bytes=_volumes(points, base, [{"": one.wal_bytes} for one in points])[""] if volume else NOTHING,
        scaling=_scaling(base, plain),
    )


def completed(own: Costs, others: Costs) -> Costs:
    """Fill in what ``own`` did not measure, and say what that was."""
    lacking = {
        "a_payload_byte": own.reach.payload_bytes == own.reach.base_payload_bytes,
        "a_failure": not own.reach.failures,
        "a_partition": own.reach.partitions == own.reach.base_partitions,
    }
    taken = [name for name, lacks in lacking.items() if lacks]
    cpu_us = {
        name: replace(amount, **{one: getattr(others.cpu_us[name], one) for one in taken})
        for name, amount in own.cpu_us.items()
    }
    words = {
        "a_payload_byte": "the CPU that payload costs",
        "a_failure": "the CPU that failures cost",
        "a_partition": "the CPU that partitions cost",
    }
    borrowed = [words[name] for name in taken]
    made = replace(own, cpu_us=cpu_us)
    if not own.reach.volume:
        borrowed.append("bytes in log and tables")
        made = replace(
            made, log_bytes=others.log_bytes, table_bytes=others.table_bytes, wal_bytes=others.wal_bytes
        )
    if own.reach.instances == 1:
        borrowed.append("how instances scale")
        made = replace(made, scaling=others.scaling)
    if not own.alone_us:
        borrowed.append("what records cost that are batches of their own")
        made = replace(made, alone_us=others.alone_us)
    return replace(made, borrowed=tuple(borrowed))


def _cpu(point: Point, name: str) -> Range:
    return spread(one.get(name, 0.0) for one in point.cpu_us)


def _failing(points: Sequence[Point], base: Point) -> Point | None:
    return next((one for one in points if one.attempts_per_job > 1 and _alike(one, base)), None)


def _alike(one: Point, base: Point) -> bool:
    return (one.partitions, one.instances) == (base.partitions, base.instances)


def _amount(points: Sequence[Point], base: Point, values: Sequence[Range]) -> Amount:
    """Tell apart what was varied one at a time; nothing is dearer for being less."""
    by_point = list(zip(points, values, strict=True))
    at_base = next(value for one, value in by_point if one is base)
    failing = _failing(points, base)

    def slope(pairs: Iterable[tuple[float, Range]]) -> float:
        """Fit a line through the base, by least squares."""
        rows = [(more, value.typical - at_base.typical) for more, value in pairs if more > 0]
        return max(0.0, sum(x * y for x, y in rows) / sum(x * x for x, _ in rows)) if rows else 0.0

    return Amount(
        at_base,
        a_payload_byte=slope(
            (one.payload_bytes - base.payload_bytes, value)
            for one, value in by_point
            if one.attempts_per_job == 1 and _alike(one, base)
        ),
        a_failure=slope((one.attempts_per_job - 1, value) for one, value in by_point if one is failing),
        a_partition=slope(
            (one.partitions - base.partitions, value)
            for one, value in by_point
            if one.attempts_per_job == 1
            and (one.instances, one.payload_bytes) == (base.instances, base.payload_bytes)
        ),
    )


def _volumes(
    points: Sequence[Point], base: Point, volumes: Sequence[Mapping[str, float]]
) -> dict[str, Amount]:
    """Give the amounts of every name; the spread is that over the shapes of the pipeline."""
    found = {}
    for name in sorted({name for one in volumes for name in one}):
        values = [Range(*(3 * (one.get(name, 0.0),))) for one in volumes]
        amount = _amount(points, base, values)
        plain = [
            value.typical
            for one, value in zip(points, values, strict=True)
            if (one.attempts_per_job, one.payload_bytes) == (1, base.payload_bytes)
        ]
        low, high = min(plain), max(plain)
        found[name] = replace(amount, base=Range(low, amount.base.typical, high), a_partition=0.0)
    return found


def _scaling(base: Point, plain: Sequence[Point]) -> Scalability:
    """Fit how the services' CPU of a job grows with instances, partitions being the same.

    With a processor each they do N D(1) / D(N) times what one does, D(N) being the CPU of a job.
    """
    several = [one for one in plain if one.instances > 1 and one.payload_bytes == base.payload_bytes]
    alone = {
        one.partitions: _services_us(one)
        for one in plain
        if one.instances == 1 and one.payload_bytes == base.payload_bytes
    }
    return fit_scalability(
        [
            (one.instances, one.instances * alone[one.partitions] / _services_us(one))
            for one in several
            if one.partitions in alone
        ]
    )


def _services_us(point: Point) -> float:
    return sum(_cpu(point, name).typical for name in JOB_SERVICES)
