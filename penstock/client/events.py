"""The one ledger record a client writes: a cancel. The pipeline's own codec makes the same bytes."""

from typing import NamedTuple

import orjson

from penstock.identity import home

SCHEMA = b"1"


class LedgerRecord(NamedTuple):
    """A record for the ledger partition of a job's home."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def cancel_record(
    topic: str, partitions: int, job_id: str, *, origin: str, by: str, reason: str
) -> LedgerRecord:
    """Make the verdict that asks for the end of a job.

    Parameters
    ----------
    origin
        ``epoch:partition:offset`` of the job's record in ``jobs``, or empty when unknown.
    """
    event = {"kind": "CANCEL", "origin": origin, "job_id": job_id, "by": by}
    if reason:
        event["reason"] = reason
    return LedgerRecord(
        topic,
        home(job_id, partitions),
        job_id.encode(),
        orjson.dumps(event),
        (("schema", SCHEMA), ("kind", b"CANCEL"), ("origin", origin.encode())),
    )
