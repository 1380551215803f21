"""The route map: every topic once, with who writes it, who reads it and what Kafka keeps.

All topics use LogAppendTime. Nothing that is work is deleted by age: ``retention.ms=-1``.
"""

from collections.abc import Collection
from dataclasses import dataclass

from core.buckets import BUCKETS
from core.log import TopicPartition
from core.wheel import TIERS

DAY_MS = 86_400_000
FOREVER_MS = -1
RECORD_MAX_BYTES = 262_144
"""Largest producer record, value and headers; internal records may be twice that and more."""
MESSAGE_MAX_BYTES = 1_048_576
"""Broker limit of every topic; above the largest internal record (failed job + error + log tail)."""
APPEND_MAX_BYTES = 983_040
"""Largest record, and largest batch, that is ever produced; under ``MESSAGE_MAX_BYTES``."""
JOB_MAX_BYTES = APPEND_MAX_BYTES - 65_536
"""Largest record that carries a job onward. What is left is for what a failure adds to the job, without its
traceback and log lines: so whatever was queued can be closed, decided and buried."""

WORK_SEGMENT_BYTES = 16_777_216
"""Kafka deletes whole segments only, so every partition keeps up to one of records that are trimmed: with
the default of 1 GiB, 16 partitions of 23 topics would keep 370 GB of nothing."""
LEDGER_SEGMENT_BYTES = 134_217_728
"""The ledger is kept for days: more in a segment, so that the broker has not thousands of open files."""
SNAPSHOT_SEGMENT_BYTES = 67_108_864
"""A few large snapshots; what was replaced is on disk until its segment is full and compacted."""

SCHEDULE_PARTITIONS = 16
"""Of ``schedules``, in every epoch: definitions outlive an epoch, so where one stands must not depend on the
partition count. More schedulers than this would share no more of them."""

LEARNING_PARTITIONS_MAX = 4
"""Of the topics of learning, so many are used: one folds thousands of jobs a second, and each of these gets a
record a second from everybody who reports."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it is created."""

    name: str
    partitions: int
    retention_ms: int
    written_by: str
    read_by: str
    compacted: bool = False
    segment_bytes: int | None = None
    """None leaves it to the broker (1 GiB); compaction never touches the segment being written."""
    outlives_epoch: bool = False
    """A new epoch takes the topic over as it is, with more partitions where it needs them."""

    @property
    def config(self) -> dict[str, str]:
        """Topic configuration for the broker."""
        segment = {} if self.segment_bytes is None else {"segment.bytes": str(self.segment_bytes)}
        return segment | {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(MESSAGE_MAX_BYTES),
        }


@dataclass(frozen=True, slots=True)
class RouteMap:
    """Names of all topics of one pipeline.

    Parameters
    ----------
    partitions
        Count of every job topic; fixed per epoch, because a job's home is a hash modulo it.
    pools
        Execution pools; configuration, never taken from a record.
    prefix
        Put before every name; lets several pipelines share a cluster.
    """

    partitions: int = 4
    pools: tuple[str, ...] = ("default",)
    prefix: str = ""

    @property
    def jobs(self) -> str:
        """What producers publish."""
        return f"{self.prefix}jobs"

    @property
    def rejected(self) -> str:
        """Records that are no valid job."""
        return f"{self.prefix}jobs.rejected"

    @property
    def gates(self) -> str:
        """Jobs that may have to wait: known key or id, due time, expiry."""
        return f"{self.prefix}jobs.gates"

    @property
    def workflows(self) -> str:
        """The log of the workflow gate: who entered and who ended, by workflow."""
        return f"{self.prefix}jobs.workflows"

    @property
    def orders(self) -> str:
        """The log of the order gate: who entered and who ended, by ordering key."""
        return f"{self.prefix}jobs.orders"

    @property
    def held(self) -> str:
        """Dispatches of what is paused, or too many for a rate limit: each stands here once."""
        return f"{self.prefix}jobs.held"

    @property
    def ready(self) -> str:
        """Dispatches that may run now."""
        return f"{self.prefix}jobs.ready"

    @property
    def ledger(self) -> str:
        """Verdicts and notes: the truth about every job."""
        return f"{self.prefix}jobs.events"

    @property
    def dlq(self) -> str:
        """Every failed or lost dispatch with its job, error, traceback and log tail."""
        return f"{self.prefix}jobs.dlq"

    @property
    def dead(self) -> str:
        """Jobs that will not be tried again."""
        return f"{self.prefix}jobs.dead"

    @property
    def outcomes(self) -> str:
        """What became of dispatches, told once a second by whoever saw it."""
        return f"{self.prefix}jobs.outcomes"

    @property
    def feature_states(self) -> str:
        """What the feature fold restores itself from: the changelog of its table."""
        return f"{self.prefix}features.states"

    @property
    def features(self) -> str:
        """What is known of every tenant and type, for whoever decides."""
        return f"{self.prefix}features"

    @property
    def models(self) -> str:
        """Trained models, who of them orders jobs, and what pools' buckets cover (partition 0 only)."""
        return f"{self.prefix}models"

    @property
    def desk(self) -> str:
        """What people did with dead letters (partition 0 only)."""
        return f"{self.prefix}desk"

    @property
    def signatures(self) -> str:
        """Failures that taught which kinds of failures there are, in order (partition 0 only)."""
        return f"{self.prefix}signatures"

    @property
    def learning_partitions(self) -> int:
        """How many partitions of ``jobs.outcomes``, ``features.states`` and ``features`` are used.

        They outlive epochs, so what a key has learned must not depend on the partition count.
        """
        return min(self.partitions, LEARNING_PARTITIONS_MAX)

    @property
    def executors(self) -> str:
        """Heartbeats and probes."""
        return f"{self.prefix}executors"

    @property
    def control(self) -> str:
        """What operators decided, presence of services, and the epoch (partition 0 only)."""
        return f"{self.prefix}control"

    @property
    def snapshots(self) -> str:
        """States of the ledger's fold, so that nobody needs to read the ledger from its start."""
        return f"{self.prefix}ledger.snapshots"

    @property
    def known(self) -> str:
        """Who passed the id gates, so that nobody needs to read the gates from their start."""
        return f"{self.prefix}gates.known"

    @property
    def gate_snapshots(self) -> str:
        """States of the scheduler's folds, so that nobody needs to read gates from their start."""
        return f"{self.prefix}gates.snapshots"

    @property
    def schedules(self) -> str:
        """Recurring schedules, and how far each has fired."""
        return f"{self.prefix}schedules"

    @property
    def held_marks(self) -> str:
        """What stands in ``jobs.held`` and was not handed on, so that nobody needs to read all of it."""
        return f"{self.prefix}held.marks"

    def schedule_places(self, owned: Collection[int]) -> list[TopicPartition]:
        """Give the partitions of ``schedules`` that belong to these of the job topics."""
        return [
            TopicPartition(self.schedules, number)
            for number in range(SCHEDULE_PARTITIONS)
            if number % self.partitions in owned
        ]

    def execution(self, pool: str, bucket: int) -> str:
        """Give the execution topic of one pool and bucket."""
        return f"{self.prefix}jobs.exec.{pool}.b{bucket}"

    def executions(self, pool: str) -> tuple[str, ...]:
        """Give the execution topics of one pool, most urgent first."""
        return tuple(self.execution(pool, bucket) for bucket in range(BUCKETS))

    def delay(self, tier: int) -> str:
        """Give the wheel topic of one constant delay."""
        return f"{self.prefix}jobs.delay.{tier}"

    @property
    def delays(self) -> tuple[str, ...]:
        """Give all wheel topics, shortest delay first."""
        return tuple(self.delay(tier) for tier in range(TIERS))

    def group(self, name: str) -> str:
        """Give the consumer group of a service, or of ``executor.POOL``."""
        return f"{self.prefix}penstock.{name}"

    def readers(self) -> dict[str, tuple[str, ...]]:
        """Give, for every topic that is trimmed, the groups that must have read what goes.

        ``jobs.held`` is read without a group; what was handed on stands in ``held.marks``.
        """
        readers: dict[str, tuple[str, ...]] = {
            self.held: (),
            self.jobs: ("ingest",),
            self.gates: ("scheduler",),
            self.workflows: ("scheduler",),
            self.orders: ("scheduler",),
            self.ready: ("prioritizer",),
            self.ledger: ("scheduler", "dlq_handler", "materializer"),
            self.dlq: ("dlq_handler",),
        }
        readers |= dict.fromkeys(self.delays, ("scheduler",))
        readers |= {name: (f"executor.{pool}",) for pool in self.pools for name in self.executions(pool)}
        return {topic: tuple(map(self.group, names)) for topic, names in readers.items()}

    def specs(self) -> tuple[TopicSpec, ...]:
        """Give every topic of the pipeline."""
        return (*self._job_topics(), *self._side_topics(), *self._learning_topics(), self._desk_topic())

    def _job_topics(self) -> tuple[TopicSpec, ...]:
        def spec(
            name: str,
            written_by: str,
            read_by: str,
            segment_bytes: int = WORK_SEGMENT_BYTES,
            outlives_epoch: bool = False,
        ) -> TopicSpec:
            return TopicSpec(
                name,
                self.partitions,
                FOREVER_MS,
                written_by,
                read_by,
                segment_bytes=segment_bytes,
                outlives_epoch=outlives_epoch,
            )

        pools = [name for pool in self.pools for name in self.executions(pool)]
        return (
            spec(self.jobs, "producers, scheduler, executor", "ingest", outlives_epoch=True),
            spec(self.gates, "ingest, scheduler", "scheduler"),
            spec(self.workflows, "ingest, scheduler", "scheduler"),
            spec(self.orders, "ingest, scheduler, people", "scheduler"),
            *(spec(name, "scheduler, dlq_handler", "scheduler") for name in self.delays),
            spec(self.held, "prioritizer, executor, scheduler", "scheduler"),
            spec(self.ready, "ingest, scheduler, dlq_handler", "prioritizer"),
            *(spec(name, "prioritizer", "executor, keeper") for name in pools),
            spec(self.ledger, "all", "all", LEDGER_SEGMENT_BYTES),
            spec(self.dlq, "executor, keeper", "dlq_handler, desk"),
            TopicSpec(self.dead, self.partitions, 90 * DAY_MS, "dlq_handler", "desk", outlives_epoch=True),
        )

    def _side_topics(self) -> tuple[TopicSpec, ...]:
        count = self.partitions
        return (
            TopicSpec(self.rejected, count, 30 * DAY_MS, "ingest, scheduler", "desk", outlives_epoch=True),
            TopicSpec(
                self.snapshots,
                count,
                FOREVER_MS,
                "dlq_handler",
                "whoever folds",
                compacted=True,
                segment_bytes=SNAPSHOT_SEGMENT_BYTES,
            ),
            TopicSpec(
                self.gate_snapshots,
                count,
                FOREVER_MS,
                "scheduler",
                "scheduler, dlq_handler",
                compacted=True,
                segment_bytes=SNAPSHOT_SEGMENT_BYTES,
            ),
            TopicSpec(self.known, count, FOREVER_MS, "scheduler", "scheduler, dlq_handler", compacted=True),
            TopicSpec(
                self.schedules,
                SCHEDULE_PARTITIONS,
                FOREVER_MS,
                "people, scheduler",
                "scheduler, materializer, people",
                compacted=True,
                outlives_epoch=True,
            ),
            TopicSpec(
                self.held_marks,
                count,
                FOREVER_MS,
                "scheduler",
                "scheduler, dlq_handler, people",
                compacted=True,
                segment_bytes=WORK_SEGMENT_BYTES,
            ),
            TopicSpec(self.executors, 1, DAY_MS, "executor, keeper", "keeper, people"),
            TopicSpec(
                self.control,
                1,
                FOREVER_MS,
                "people, all services",
                "all",
                compacted=True,
                outlives_epoch=True,
            ),
        )

    def _desk_topic(self) -> TopicSpec:
        return TopicSpec(
            self.desk,
            1,
            FOREVER_MS,
            "people",
            "people, materializer",
            segment_bytes=WORK_SEGMENT_BYTES,
            outlives_epoch=True,
        )

    def _learning_topics(self) -> tuple[TopicSpec, ...]:
        count, models_readers = self.partitions, "prioritizer, executor, materializer, trainer, people"
        return (
            TopicSpec(
                self.outcomes,
                count,
                7 * DAY_MS,
                "executor, prioritizer, dlq_handler",
                "features, prioritizer",
                segment_bytes=SNAPSHOT_SEGMENT_BYTES,
                outlives_epoch=True,
            ),
            _kept(self.feature_states, count, "features", "features", compacted=True),
            _kept(self.features, count, "features", "prioritizer, people", compacted=True),
            _kept(self.models, 1, "trainer, people", models_readers, compacted=True),
            _kept(self.signatures, 1, "dlq_handler", "dlq_handler, materializer", compacted=False),
        )


def _kept(name: str, partitions: int, written_by: str, read_by: str, *, compacted: bool) -> TopicSpec:
    """Give a topic of what was learned, which outlives epochs."""
    return TopicSpec(
        *(name, partitions, FOREVER_MS, written_by, read_by, compacted, WORK_SEGMENT_BYTES),
        outlives_epoch=True,
    )
