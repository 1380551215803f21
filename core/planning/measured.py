"""The costs that are shipped: what was measured, where, and how far the measurements lay apart.

CPU by process: medians of twelve rounds of 20,000 jobs at commit 6f83440 (docs/performance.md, A backlog),
on two cores that other work used a little. Over all processes these rounds gave 506 us a job at best, 622 at
the median; later commits, which do more for each job, gave 934 to 1,061 (603bb36 and 9cba21d) beside much
other work, and 957 at most on a machine of their own (e425600, 2,090 jobs/s on two cores). So low and high
are that far from the medians. The scheduler follows the ledger since: its figure is that of 9cba21d.

What payload and failures add, and all bytes: commit 4e8dafd, ``python -m benchmarks --only costs``, three
rounds of 3,000 jobs each, with 0 and with 1,000 bytes, and where the first attempt fails. That machine was
crowded (load 27), where a job cost four times the above; so what payload and failures add is taken in
proportion to a plain job of the same run, without what processes cost when idle.
"""

from collections.abc import Mapping

from core.planning.costs import Amount, Costs, Provenance, Range, Reach
from core.planning.laws import Scalability

LOW, HIGH = 506 / 622, 1061 / 622
"""The least and the most that any of these rounds gave, to the median."""


def _cpu(us: float, a_payload_kb_us: float, a_failure_us: float) -> Amount:
    return Amount(Range(us * LOW, us, us * HIGH), a_payload_kb_us / 1000, a_failure_us)


def _bytes(amount: float, a_payload_byte: float = 0.0, a_failure: float = 0.0) -> Amount:
    return Amount(Range(amount, amount, amount), a_payload_byte, a_failure)


CPU_US: Mapping[str, Amount] = {
    "ingest": _cpu(45, 40, 0),
    "scheduler": Amount(Range(2, 55, 55), 0.04, 200),
    "prioritizer": _cpu(38, 21, 80),
    "executor": _cpu(144, 58, 258),
    "dlq_handler": _cpu(74, 40, 214),
    "materializer": _cpu(126, 17, 179),
    "workers": _cpu(23, 8, 38),
    "kafka": _cpu(82, 58, 149),
    "postgres": _cpu(70, 118, 175),
}
LOG_BYTES: Mapping[str, Amount] = {
    "jobs": _bytes(42, 1.0),
    "jobs.ready": _bytes(535, 1.0, 563),
    "jobs.exec": _bytes(629, 1.0, 654),
    "jobs.events": _bytes(1387, 1.02, 2085),
    "jobs.outcomes": _bytes(370, 0.0, 388),
    "features.states": _bytes(876, 0.0, 933),
    "jobs.delay": _bytes(0, 0.0, 407),
    "jobs.dlq": _bytes(0, 0.0, 963),
}
TABLE_BYTES: Mapping[str, Amount] = {
    "jobs": _bytes(956, 2.83),
    "job_attempts": _bytes(321, 0.0, 627),
    "job_scores": _bytes(55, 0.0, 613),
}
BATCH_US, BROKER_BATCH_US, BROKER_READ_US = 78.0, 81.0, 4.0
"""One batch more, in the process that appends it and in the broker, and one more that is read: commit
4e8dafd, ``python -m benchmarks --only batches``. 512 records in 1, 8 and 64 batches took 2,787, 3,456
and 9,438 us of the client and 6,250, 9,000 and 20,750 of the broker to append, 2,750 to 3,500 of it to
read. That machine was crowded (load 18): a record cost the client 5.4 us instead of 4.0, and the broker
12.2 instead of 4.3, so each is divided by its own ratio."""
ALONE_US: Mapping[str, float] = {
    "ingest": 2 * BATCH_US,
    "prioritizer": 2 * BATCH_US,
    "executor": 2 * BATCH_US,
    "kafka": 7 * BROKER_BATCH_US + 12 * BROKER_READ_US,
}
"""Seven records of a job are appended, twelve fetched; the seventh by whoever submits it."""
SHIPPED = Costs(
    provenance=Provenance(
        processor="AMD EPYC, virtual",
        cores=2,
        python="3.11.7",
        commit="6f83440 (CPU), 4e8dafd (bytes, payload, failures)",
        measured_at="2026-11-21 and 2026-11-27",
        load_1min=5.0,
        rounds=12,
    ),
    reach=Reach(
        jobs_per_s=3110.0,
        base_partitions=4,
        partitions=4,
        instances=1,
        base_payload_bytes=0,
        payload_bytes=1000,
        failures=True,
        volume=True,
        rows=1_000_000,
    ),
    cpu_us=CPU_US,
    log_bytes=LOG_BYTES,
    table_bytes=TABLE_BYTES,
    wal_bytes=_bytes(2558, 3.35, 5057),
    scaling=Scalability(),
    alone_us=ALONE_US,
)
