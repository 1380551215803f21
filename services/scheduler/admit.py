"""Admit jobs from ``jobs.gates``: fold the id gate, then let on what the gates let on."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from core.gates.id_gate import IdGate
from core.gates.key_table import KeyStore
from core.log import NewRecord, Record
from ports.meter import Meter, Metric
from schemas.accepted_job import AcceptedJob
from schemas.codec import decode_accepted
from schemas.rejection import Reason
from schemas.topics import RouteMap
from services.scheduler.decide import Fate, admit, submission_of

logger = logging.getLogger(__name__)


class Admitter:
    """The gate folds of every partition followed so far, and what follows from their records.

    A fold is kept when its partition is lost for a while; records read again then get the answers
    they got the first time.

    Parameters
    ----------
    new_keys
        Makes where one gate keeps its keys; in memory unless given.
    """

    def __init__(
        self,
        routes: RouteMap,
        meter: Meter,
        now_ms: Callable[[], int],
        epoch: str,
        window_ms: int,
        new_keys: Callable[[], KeyStore | None] = lambda: None,
    ) -> None:
        self._routes = routes
        self._meter = meter
        self._now_ms = now_ms
        self._epoch = epoch
        self._window_ms = window_ms
        self._new_keys = new_keys
        self._gates: dict[int, IdGate] = {}

    def gate(self, partition: int) -> IdGate:
        """Give the id gate of one partition, empty when nothing was read yet."""
        gate = self._gates.get(partition)
        if gate is None:
            gate = self._gates[partition] = IdGate(self._epoch, self._window_ms, self._new_keys())
        return gate

    @property
    def gates(self) -> Mapping[int, IdGate]:
        """The id gates there are, by partition."""
        return self._gates

    def forget(self, partition: int) -> None:
        """Let go of a gate that others own; whoever gets it back begins at the log of passages."""
        self._gates.pop(partition).close()

    def admit(self, records: Iterable[Record], act_from: Callable[[int], int]) -> list[NewRecord]:
        """Fold records of ``jobs.gates``, and give what those from ``act_from(partition)`` on lead to.

        Earlier ones were acted on before; they only restore the fold.

        Raises
        ------
        core.gates.id_gate.GateGapError, schemas.codec.UnreadableRecordError
            The service stops; a restart or a person must mend it.
        """
        now_ms = self._now_ms()
        outputs: list[NewRecord] = []
        fates: Counter[Fate] = Counter()
        for record in records:
            gate, job = self.gate(record.partition), decode_accepted(record)
            submission = submission_of(job)
            if submission is None:
                gate.skip(record.offset)
                answer = None
            else:
                answer = gate.ask(record.offset, submission)
            if record.offset < act_from(record.partition):
                continue
            admission = admit(self._routes, job, answer, now_ms)
            outputs.extend(admission.records)
            fates[admission.fate] += 1
            if admission.fate is Fate.CONFLICT:
                _say(job)
        self._measure(fates)
        return outputs

    def _measure(self, fates: Counter[Fate]) -> None:
        if fates[Fate.REPEATED]:
            self._meter.count(Metric.REPEATED, fates[Fate.REPEATED], conflict="false")
        if fates[Fate.CONFLICT]:
            self._meter.count(Metric.REPEATED, fates[Fate.CONFLICT], conflict="true")
            self._meter.count(Metric.REJECTED, fates[Fate.CONFLICT], reason=Reason.KEY_CONFLICT)


def _say(job: AcceptedJob) -> None:
    logger.info(
        "rejected origin %s: its id or idempotency key names a job with another body",
        job.origin,
        extra={"reason": str(Reason.KEY_CONFLICT), "job_id": job.job_id, "trace_id": job.trace_id},
    )
