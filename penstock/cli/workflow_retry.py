"""Opening dead jobs again: one verdict each, which names the dead letter to begin from."""

from collections.abc import Iterable

from adapters.kafka.admin import read_epoch
from core.ledger.verdicts import Redriven
from core.log import NewRecord, Record
from penstock.cli.appending import append_once
from penstock.cli.connect import Connections
from penstock.cli.reading import partitions_of, reading, require_topics, stretch
from penstock.errors import PenstockError
from penstock.identity import home
from schemas.codec import decode_dead, ledger_record
from schemas.gate_keys import gates_header, keys_of
from schemas.topics import RouteMap


class NoEpochError(PenstockError):
    """The cluster has no epoch of this pipeline."""


async def retry_dead(where: Connections, dead: set[str], by: str) -> tuple[set[str], set[str]]:
    """Append REDRIVEN for dead jobs; give those it was appended for, and those without a dead letter.

    Of two that do so at once, the first counts; the other changes nothing.
    """
    routes = where.routes
    if not dead:
        return set(), set()
    await require_topics(where.kafka, [routes.dead, routes.ledger])
    epoch = await read_epoch(where.kafka, routes)
    if epoch is None:
        raise NoEpochError(f"Kafka at {where.kafka.bootstrap} has no pipeline: run `penstock up` once")
    partitions = sorted({home(job_id, routes.partitions) for job_id in dead})
    async with reading(where.kafka) as reader:
        places = [one for one in partitions_of(routes.dead, routes.partitions) if one.partition in partitions]
        letters = [record async for record in stretch(reader, places) if (record.key or b"").decode() in dead]
    verdicts = redriven(routes, letters, epoch.epoch, by)
    await append_once(where, list(verdicts.values()))
    return set(verdicts), dead - verdicts.keys()


def redriven(routes: RouteMap, letters: Iterable[Record], epoch: str, by: str) -> dict[str, NewRecord]:
    """Make the verdicts that open jobs again, by job id: each from its newest dead letter of this epoch."""
    verdicts: dict[str, NewRecord] = {}
    for letter in letters:
        dead = decode_dead(letter)
        job = dead.last.job
        if dead.edited or job.origin.split(":")[0] != epoch:
            continue
        verdict = Redriven(
            job.origin, job.job_id, job.n + 1, letter.topic, letter.partition, letter.offset, by
        )
        header = gates_header(keys_of(job.tenant, job.workflow_id, job.ordering_key))
        verdicts[job.job_id] = ledger_record(routes, verdict, header)
    return verdicts
