"""Gathering the evidence: what the log holds, what the table says, and what the tasks did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.log import Record, TopicPartition
from penstock.demo.effects import Effects, read_effects
from penstock.demo.evidence import Evidence, JobRow, LoggedJob, Position
from penstock.demo.logscan import partitions_of, read_between, submissions_of
from penstock.demo.plan import Plan, PlannedJob, PlannedMalformed, PlannedRepeat, RunIdentity, job_id_of
from penstock.demo.sent import Place
from penstock.identity import Origin
from ports.log import PartitionReader
from schemas.rejected import RejectedRecord
from schemas.topics import RouteMap


@dataclass(frozen=True)
class RunStart:
    """Where topics ended when the run began; everything of the run stands from there on."""

    jobs: Mapping[TopicPartition, int]
    rejected: Mapping[TopicPartition, int]


@dataclass(frozen=True)
class SentRecords:
    """What of a run stands in the input topic.

    Attributes
    ----------
    found
        Every place of each submission; more than one when an append was repeated.
    """

    jobs: Mapping[str, LoggedJob]
    malformed: frozenset[Position]
    found: Mapping[int, frozenset[Position]]


async def run_start(reader: PartitionReader, routes: RouteMap) -> RunStart:
    """Note where the topics end now."""
    return RunStart(
        jobs=await reader.end_offsets(partitions_of(routes.jobs, routes.partitions)),
        rejected=await reader.end_offsets(partitions_of(routes.rejected, routes.partitions)),
    )


async def scan_sent(
    reader: PartitionReader, start: RunStart, plan: Plan, run: RunIdentity, epoch: str
) -> SentRecords:
    """Read the input topic from the run's start and say what of the plan stands in it."""
    ends = await reader.end_offsets(list(start.jobs))
    records = await read_between(reader, start.jobs, ends)
    return sent_records(submissions_of(records, run.run_id), plan, run, epoch)


def sent_records(
    logged: Sequence[tuple[int, Record]], plan: Plan, run: RunIdentity, epoch: str
) -> SentRecords:
    """Name the jobs that records of a plan make; pure."""
    jobs: dict[str, LoggedJob] = {}
    malformed: set[Position] = set()
    found: dict[int, set[Position]] = {}
    for index, record in logged:
        place = Position(record.partition, record.offset)
        found.setdefault(index, set()).add(place)
        submission = plan.submissions[index]
        if isinstance(submission, PlannedMalformed):
            malformed.add(place)
            continue
        origin = Origin(epoch, record.partition, record.offset)
        job_id = job_id_of(submission, run, origin, record.timestamp_ms)
        known = jobs.get(job_id)
        jobs[job_id] = known._replace(records=known.records + 1) if known else _logged(job_id, submission)
    return SentRecords(jobs, frozenset(malformed), {index: frozenset(at) for index, at in found.items()})


def _logged(job_id: str, submission: PlannedJob | PlannedRepeat) -> LoggedJob:
    job = submission.of if isinstance(submission, PlannedRepeat) else submission
    return LoggedJob(job_id, job.number, job.type, job.ending, job.keyed, 1)


async def scan_rejected(reader: PartitionReader, start: RunStart) -> dict[Position, str]:
    """Give the reason of every rejection made since the run's start, by the place of the original."""
    ends = await reader.end_offsets(list(start.rejected))
    decoder = msgspec.json.Decoder(RejectedRecord)
    rejected: dict[Position, str] = {}
    for record in await read_between(reader, start.rejected, ends):
        if record.value is not None:
            said = decoder.decode(record.value)
            rejected[Position(said.partition, said.offset)] = f"{said.reason}: {said.message}"
    return rejected


def evidence_of(
    *,
    plan: Plan,
    sent: SentRecords,
    acknowledged: Sequence[Place],
    rejected: Mapping[Position, str],
    rows: Mapping[str, JobRow],
    effects_file: Path,
    table_differences: Sequence[str] | None,
    table_problem: str,
) -> Evidence:
    """Put the facts side by side."""
    effects: Effects = read_effects(effects_file)
    return Evidence(
        jobs=sent.jobs,
        malformed=sent.malformed,
        acknowledged={place.submission: Position(place.partition, place.offset) for place in acknowledged},
        found=sent.found,
        unsent=[index for index in range(len(plan.submissions)) if index not in sent.found],
        rejected=rejected,
        rows=rows,
        effects=effects,
        table_differences=table_differences,
        table_problem=table_problem,
    )
