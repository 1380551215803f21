"""Identity and place of a job: pure functions of the record that brought it.

Whoever repeats a hand-over, and a client that only knows where its record was appended,
arrive at the same ids. Everything here is stable for ever: changing it gives running jobs new names.
"""

import hashlib
import uuid
import zlib
from typing import NamedTuple, Self

from typing_extensions import override

_KEY_NAMESPACE = uuid.UUID("6f1c9a52-8d0b-5c7e-9b1e-3f6d2a4c8e10")
"""Namespace of ids made from (tenant, idempotency_key); arbitrary, fixed for ever."""

_STEP_NAMESPACE = uuid.UUID("0f6f5a0e-5b37-5d0c-8a52-6a3b7c1d9e44")
"""Namespace of ids made from (tenant, workflow_id, name); arbitrary, fixed for ever."""
_SPAWN_NAMESPACE = uuid.UUID("b7d1c2f4-3e5a-5f68-9c0d-2a4e6b8d0f13")
"""Namespace of ids made from (job_id, name); arbitrary, fixed for ever."""
_TICK_NAMESPACE = uuid.UUID("2b7d4c0e-5a19-5f83-8e46-c1d90b7f3a52")
"""Namespace of ids made from the ticks of schedules; arbitrary, fixed for ever."""

_CRC_POLYNOMIAL = 0xEDB88320
"""Of CRC-32 (ISO-HDLC), lowest bit first."""


class Origin(NamedTuple):
    """Where a job came from: the coordinate of its record in the topic ``jobs``.

    ``epoch`` names one incarnation of the topics, so a recreated topic never repeats an origin.
    """

    epoch: str
    partition: int
    offset: int

    @override
    def __str__(self) -> str:
        return f"{self.epoch}:{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``epoch:partition:offset``.

        Raises
        ------
        ValueError
            The text is not an origin; a record that carries it was not written by Penstock.
        """
        epoch, partition, offset = text.split(":")
        return cls(epoch, int(partition), int(offset))


def job_id_from_origin(origin: Origin, timestamp_ms: int) -> str:
    """Make the id of a job whose producer gave none: UUIDv7 layout (RFC 9562, section 5.7).

    Parameters
    ----------
    timestamp_ms
        The broker's append time of the origin record, milliseconds since 1970; the 48 time bits.
        The remaining 74 bits are a hash of the origin, so the id is unique as long as origins are.
    """
    digest = int.from_bytes(hashlib.blake2b(str(origin).encode(), digest_size=10).digest(), "big")
    rand_a = digest >> 68
    rand_b = digest & ((1 << 62) - 1)
    value = (timestamp_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
    # uuid.UUID would do the same in three times the time, and this runs for every job.
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def job_id_from_key(tenant: str, idempotency_key: str) -> str:
    """Make the id shared by all records of one (tenant, idempotency_key): a UUIDv5."""
    return str(uuid.uuid5(_KEY_NAMESPACE, f"{tenant}\x00{idempotency_key}"))


def job_id_from_repeat(tenant: str, idempotency_key: str, origin: Origin) -> str:
    """Make the id of a key used again after its window: a UUIDv5 of key and origin."""
    return str(uuid.uuid5(_KEY_NAMESPACE, f"{tenant}\x00{idempotency_key}\x00{origin}"))


def job_id_of_step(tenant: str, workflow_id: str, name: str) -> str:
    """Make the id of the job that has a name in a workflow: a UUIDv5."""
    return str(uuid.uuid5(_STEP_NAMESPACE, f"{tenant}\x00{workflow_id}\x00{name}"))


def job_id_of_spawned(parent_job_id: str, name: str) -> str:
    """Make the id of a job that a running one adds: every attempt of it adds the same job. A UUIDv5."""
    return str(uuid.uuid5(_SPAWN_NAMESPACE, f"{parent_job_id}\x00{name}"))


def job_id_from_tick(schedule: str, incarnation: str, at_ms: int, asked: str = "") -> str:
    """Make the id of the job of one tick of a schedule: the same whoever fires it, however often.

    A UUIDv5 of which the last four bytes are such that all jobs of a schedule have one home, whatever the
    partition count: so they pass every gate in the order in which they fire. 90 bits are left of the hash.

    Parameters
    ----------
    incarnation
        Of the schedule: one created again under its old name has jobs of its own.
    asked
        Names a run that a person asked for; empty for a tick.
    """
    hashed = uuid.uuid5(_TICK_NAMESPACE, f"{schedule}\x00{incarnation}\x00{at_ms}\x00{asked}").bytes[:12]
    same = zlib.crc32(f"{schedule}\x00{incarnation}".encode())
    return str(uuid.UUID(bytes=hashed + _bytes_to_crc(hashed, same)))


def _bytes_to_crc(head: bytes, wanted: int) -> bytes:
    """Give the four bytes behind ``head`` with which the CRC-32 of the whole is ``wanted``.

    The register before them is known; run backward from its end over four bytes of zeros, it says by which
    bits the two differ.
    """
    register = wanted ^ 0xFFFFFFFF
    for _ in range(32):
        odd = register & 0x80000000
        register = ((register ^ _CRC_POLYNOMIAL) << 1 | 1) if odd else register << 1
    return (register ^ zlib.crc32(head) ^ 0xFFFFFFFF).to_bytes(4, "little")


def home(job_id: str, partitions: int) -> int:
    """Give the partition on which everything said about this job stands.

    CRC-32 of the 16 id bytes modulo the partition count: any language has it, and it is not the
    partitioner of any Kafka client, so nobody can rely on a client's default by accident.
    """
    return zlib.crc32(bytes.fromhex(job_id.replace("-", ""))) % partitions


def gate_home(*key: str, partitions: int) -> int:
    """Give the partition of a gate's log on which everything about this key stands.

    CRC-32 of the parts in UTF-8, a NUL byte between them, modulo the partition count. No part can hold a
    NUL character.
    """
    return zlib.crc32("\0".join(key).encode()) % partitions


def trace_id_from_origin(origin: Origin) -> str:
    """Give 32 hex digits naming the trace of a job whose producer sent no ``traceparent``."""
    return hashlib.blake2b(str(origin).encode(), digest_size=16, person=b"trace").hexdigest()
