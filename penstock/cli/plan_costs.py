"""The user's own costs, from the JSON of ``make bench``."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from core.planning.costs import Costs, CostsError, Point, Provenance, completed, fit
from core.planning.measured import SHIPPED

PLAIN_PARTITIONS = 4
PLAIN_PAYLOAD_BYTES = 57
"""Of the backlog that ``make bench`` measures by default: embedded partitions, and its payload as JSON."""


class _Machine(msgspec.Struct, frozen=True):
    cores: int
    processor: str
    python: str
    commit: str
    load_1min: float
    measured_at: str = ""


class _Round(msgspec.Struct, frozen=True):
    jobs: int
    jobs_per_s: float
    cpu_us_per_job: dict[str, float]


class _Point(msgspec.Struct, frozen=True):
    partitions: int
    instances: int
    payload_bytes: int
    attempts_per_job: int
    rounds: tuple[_Round, ...]
    log_bytes_per_job: dict[str, float]
    table_bytes_per_job: dict[str, float]
    wal_bytes_per_job: float


class _Results(msgspec.Struct, frozen=True):
    machine: _Machine
    throughput: tuple[_Round, ...] = ()
    costs: tuple[_Point, ...] = ()


def from_file(path: Path) -> Costs:
    """Give the costs in the user's own results; what these lack is taken from the shipped ones.

    Raises
    ------
    core.planning.costs.CostsError
        The file is no such results, or holds no backlog.
    """
    try:
        own = _fitted(path.read_bytes())
    except (OSError, CostsError) as error:
        raise CostsError(f"--costs {path}: {error}") from None
    return completed(own, SHIPPED)


def _fitted(data: bytes) -> Costs:
    try:
        results = msgspec.json.decode(data, type=_Results)
    except msgspec.MsgspecError as error:
        raise CostsError(
            f"this is not what `make bench` writes ({error}); it writes build/bench.json, or --json FILE"
        ) from None
    points = [_point(one) for one in results.costs if one.rounds] or _plain(results.throughput)
    machine = results.machine
    return fit(
        points,
        Provenance(
            processor=machine.processor,
            cores=machine.cores,
            python=machine.python,
            commit=machine.commit,
            measured_at=machine.measured_at,
            load_1min=machine.load_1min,
            rounds=len(points[0].cpu_us) if points else 0,
        ),
    )


def _point(one: _Point) -> Point:
    return Point(
        partitions=one.partitions,
        instances=one.instances,
        payload_bytes=one.payload_bytes,
        attempts_per_job=one.attempts_per_job,
        jobs=one.rounds[0].jobs,
        cpu_us=tuple(by_service(each.cpu_us_per_job) for each in one.rounds),
        jobs_per_s=tuple(each.jobs_per_s for each in one.rounds),
        log_bytes=one.log_bytes_per_job,
        table_bytes=one.table_bytes_per_job,
        wal_bytes=one.wal_bytes_per_job,
    )


def _plain(rounds: tuple[_Round, ...]) -> list[Point]:
    if not rounds:
        return []
    return [
        Point(
            partitions=PLAIN_PARTITIONS,
            instances=1,
            payload_bytes=PLAIN_PAYLOAD_BYTES,
            attempts_per_job=1,
            jobs=rounds[0].jobs,
            cpu_us=tuple(by_service(each.cpu_us_per_job) for each in rounds),
            jobs_per_s=tuple(each.jobs_per_s for each in rounds),
        )
    ]


def by_service(processes: Mapping[str, float]) -> dict[str, float]:
    """Add up the instances of each service: ``ingest-0`` and ``ingest-1`` are ``ingest``."""
    found: dict[str, float] = {}
    for process, us in processes.items():
        name, _, number = process.rpartition("-")
        service = name if number.isdigit() else process
        found[service] = found.get(service, 0.0) + us
    return found
