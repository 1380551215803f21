"""Each stage's own work on one job, without broker, database or event loop."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from adapters.postgres.copy_format import RowPacker
from adapters.postgres.tables.jobs import jobs
from benchmarks import sample
from benchmarks.results import StageCost
from benchmarks.sample import ROUTES, Sample, make_sample
from benchmarks.timing import Timing, measure
from core.log import Record
from core.rows import Row, complete, merge
from core.rows_patch import patches
from core.rows_table import empty_table, gather
from penstock.client.submission import encode_job
from penstock.worker import frames
from schemas.codec import decode_accepted, decode_queued, job_record, ledger_record
from schemas.gate_logs import GateLogs
from schemas.job_parser import parse_job
from schemas.ledger import LedgerFolds
from schemas.routing import ready_record
from services.executor.decide import close
from services.ingest.decide import decide
from services.prioritizer.decide import place

JOBS = 200
"""Small enough that the sample stays in the processor's caches, as a batch of a service does."""


class Stage(NamedTuple):
    """A piece of work on every job of the sample."""

    name: str
    work: Callable[[], object]
    unit: str = "job"
    operations: int = JOBS


def measure_stages(*, repeats: int, least_s: float) -> tuple[StageCost, ...]:
    """Measure all, one after the other."""
    costs = []
    for stage in all_stages(make_sample(JOBS)):
        timing = measure(stage.work, stage.operations, repeats=repeats, least_s=least_s)
        costs.append(cost_of(stage.name, timing, stage.unit))
    return tuple(costs)


def cost_of(name: str, timing: Timing, unit: str = "job") -> StageCost:
    """Give a measurement as results keep it."""
    return StageCost(name, unit, round(timing.us, 2), round(timing.ratio, 4), round(timing.calibration_us, 1))


def all_stages(made: Sample) -> Iterator[Stage]:
    """List the work in the order in which a job meets it."""
    yield from _entering(made)
    yield from _scoring(made)
    yield from _executing(made)
    yield from _folding(made)
    yield from _showing(made)


def _entering(made: Sample) -> Iterator[Stage]:
    accepted = [(one.job, one.note) for one in made.accepted if one.note is not None]
    values = [record.value or b"" for record in made.records]
    yield Stage("client: encode the job", lambda: [encode_job(job) for job in made.submitted])
    yield Stage("ingest: strict parse and contract", lambda: [parse_job(value) for value in values])
    yield Stage(
        "ingest: decide (parse included)", lambda: [decide(record, sample.CONTEXT) for record in made.records]
    )
    yield Stage(
        "ingest: encode job and note",
        lambda: [(ledger_record(ROUTES, note), ready_record(ROUTES, job)) for job, note in accepted],
    )


def _scoring(made: Sample) -> Iterator[Stage]:
    ranking = sample.ranking()
    ready = [one.job for one in made.accepted]
    pairs = list(zip(made.queued, made.queued_notes, strict=True))
    topic = ROUTES.execution("default", 2)
    yield Stage("prioritizer: decode", lambda: [decode_accepted(record) for record in made.ready])
    yield Stage("prioritizer: score", lambda: [place(job, sample.BASE_MS, ranking) for job in ready])
    yield Stage(
        "prioritizer: encode job and note",
        lambda: [
            (ledger_record(ROUTES, note), job_record(topic, 0, queued, queued.job, b"QUEUED"))
            for queued, note in pairs
        ],
    )


def _executing(made: Sample) -> Iterator[Stage]:
    ended = list(zip(made.queued, made.outcomes, strict=True))
    starts = [
        sample.start_job(one.job.type, one.job.origin, one.job.job_id, bytes(one.job.payload))
        for one in made.queued
    ]
    frame = frames.frame(frames.Ended(made.outcomes))
    yield Stage("executor: decode", lambda: [decode_queued(record) for record in made.execution])
    yield Stage("executor: encode the claim", lambda: [ledger_record(ROUTES, one) for one in made.claims])
    yield Stage("executor: frame to a worker", lambda: frames.frame(frames.Start(starts)))
    yield Stage("executor: frame from a worker", lambda: list(frames.FrameBuffer().events(frame)))
    yield Stage(
        "executor: closure, decided and encoded",
        lambda: [
            ledger_record(
                ROUTES,
                close(
                    one.job,
                    outcome,
                    None,
                    executor=sample.EXECUTOR,
                    started_ms=sample.BASE_MS,
                    now_ms=sample.BASE_MS,
                ).verdict,
            )
            for one, outcome in ended
        ],
    )


def _folding(made: Sample) -> Iterator[Stage]:
    yield Stage(
        "fold: verdicts (every follower)",
        lambda: LedgerFolds(sample.EPOCH, with_notes=False).take(made.ledger),
    )
    yield Stage(
        "fold: verdicts and notes (materializer)",
        lambda: LedgerFolds(sample.EPOCH, with_notes=True).take(made.ledger),
    )
    yield Stage(
        "scheduler: follow the ledger, no gates", lambda: _taken(GateLogs(ROUTES, sample.EPOCH), made.ledger)
    )
    yield Stage(
        "scheduler: follow the ledger, ordered", lambda: _taken(GateLogs(ROUTES, sample.EPOCH), made.ordered)
    )
    yield Stage(
        "order gate: fold entered and ended", lambda: _taken(GateLogs(ROUTES, sample.EPOCH), made.gate_log)
    )


def _taken(logs: GateLogs, records: Sequence[Record]) -> list[object]:
    return [logs.take(record) for record in records]


def _showing(made: Sample) -> Iterator[Stage]:
    events = LedgerFolds(sample.EPOCH, with_notes=True).take(made.ledger)
    table = empty_table()
    gather(table, events)
    packer = RowPacker(jobs)
    rows = [((job_id,), complete(row)) for job_id, row in table.jobs.items()]
    yield Stage("materializer: row patches", lambda: [patches(event) for event in events])
    yield Stage("materializer: patches merged into rows", lambda: gather(empty_table(), events))
    yield Stage("materializer: merge of two rows", lambda: _merge_all(list(table.jobs.values())))
    yield Stage("materializer: pack rows for COPY", lambda: packer.pack(rows))


def _merge_all(rows: list[Row]) -> None:
    for row in rows:
        merge(dict(row), dict(row))
