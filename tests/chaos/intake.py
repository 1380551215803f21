"""Turns records of the pipeline's topics into facts for the book."""

from collections.abc import Iterator

import msgspec

from core.gates.ended import ENDED_KIND
from core.gates.order_gate import RELEASED_KIND
from core.gates.workflow_records import TICK_KIND
from core.log import Record
from penstock.client.submission import canonical_id
from penstock.identity import Origin, job_id_from_key, job_id_from_origin
from schemas.codec import decode_dead, decode_failed
from schemas.ledger import FoldedEvent, LedgerFolds
from schemas.rejected import RejectedRecord
from schemas.topics import RouteMap
from tests.chaos.case import Letter
from tests.chaos.casebook import Casebook
from tests.chaos.orders import SECRET_MARK, TRACE_HEADER, send_of

LEAKS_MAX = 20
SPAWNED_LABEL = b'"spawned"'
NO_HOPS = (ENDED_KIND, RELEASED_KIND, TICK_KIND)
"""Records of gates in which no job is."""
_MARK = SECRET_MARK.encode()


class _Named(msgspec.Struct):
    """What of a producer's record names the job."""

    job_id: str | None = None
    idempotency_key: str | None = None
    tenant: str | None = None
    labels: msgspec.Raw = msgspec.Raw(b"")


class _Dispatch(msgspec.Struct):
    """What of a job's record says which dispatch it is."""

    n: int = 1


class _Carrier(msgspec.Struct):
    """A record with the job inside, or the job itself."""

    job: _Dispatch | None = None
    n: int = 1
    then: str = ""


_NAMED = msgspec.json.Decoder(_Named)
_CARRIER = msgspec.json.Decoder(_Carrier)
_REJECTED = msgspec.json.Decoder(RejectedRecord)


class Intake:
    """Takes records of every topic, those of one partition in their order.

    Attributes
    ----------
    leaks
        Where a planted secret was found where people look.
    """

    def __init__(self, book: Casebook, routes: RouteMap, epoch: str) -> None:
        self._book = book
        self._routes = routes
        self._epoch = epoch
        self._folds = LedgerFolds(epoch, with_notes=True)
        self.leaks: list[str] = []
        self._takers = {
            routes.ledger: self._ledger,
            routes.jobs: self._jobs,
            routes.rejected: self._rejected,
            routes.dlq: self._letters,
            routes.dead: self._letters,
        }
        gates = (routes.gates, routes.workflows, routes.orders)
        hops = (*gates, routes.held, routes.ready, *routes.delays)
        executions = (topic for pool in routes.pools for topic in routes.executions(pool))
        self._takers |= dict.fromkeys((*hops, *executions), self._hops)

    @property
    def topics(self) -> list[str]:
        """All topics that are read."""
        return list(self._takers)

    def take(self, records: list[Record]) -> None:
        """Write down what these records say."""
        by_topic: dict[str, list[Record]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        for topic, members in by_topic.items():
            self._takers[topic](members)

    def look_for_secret(self, content: bytes, place: str) -> None:
        """Note a place when a planted secret stands there."""
        if _MARK in content and len(self.leaks) < LEAKS_MAX:
            self.leaks.append(place)

    def _ledger(self, records: list[Record]) -> None:
        self._book.add("events", [event_row(*pair) for pair in self._fold(records)])

    def _fold(self, records: list[Record]) -> Iterator[tuple[FoldedEvent, bytes]]:
        """Fold one record after the other, each with its bytes; later ones change what it points to."""
        for record in records:
            value = record.value or b""
            self.look_for_secret(value, f"the event {_place(record)}")
            for folded in self._folds.take([record]):
                yield folded, value

    def _jobs(self, records: list[Record]) -> None:
        rows = []
        for record in records:
            job, send = self._name(record)
            rows.append((job, record.partition, record.offset, record.timestamp_ms, send))
        self._book.add("records", rows)

    def _name(self, record: Record) -> tuple[str, int | None]:
        """Say which job a record names, as ingest does, and which send it is."""
        send = send_of(record.header(TRACE_HEADER))
        try:
            named = _NAMED.decode(record.value or b"")
            supplied = named.job_id and canonical_id(named.job_id)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return f"jobs/{record.partition}/{record.offset}", send
        if supplied:
            # A job that a task added carries on the trace of the job that added it.
            return supplied, None if SPAWNED_LABEL in bytes(named.labels) else send
        if named.idempotency_key:
            return job_id_from_key(named.tenant or "default", named.idempotency_key), send
        origin = Origin(self._epoch, record.partition, record.offset)
        return job_id_from_origin(origin, record.timestamp_ms), send

    def _rejected(self, records: list[Record]) -> None:
        rows = []
        for record in records:
            said = _REJECTED.decode(record.value or b"")
            told = msgspec.json.encode((said.message, said.remedy, said.field, said.value_excerpt))
            self.look_for_secret(told, f"what {_place(record)} says")
            rows.append((said.partition, said.offset, record.offset, said.reason, told))
        self._book.add("rejected", rows)

    def _letters(self, records: list[Record]) -> None:
        self._book.add("letters", [self._letter(record) for record in records])

    def _letter(self, record: Record) -> tuple[object, ...]:
        is_dead = record.topic == self._routes.dead
        last = decode_dead(record).last if is_dead else decode_failed(record)
        # The job inside is the producer's own, unmasked: these topics are for services and the desk.
        told = msgspec.json.encode((last.message, last.error_type, last.traceback, last.log_tail))
        self.look_for_secret(told, f"what {_place(record)} says")
        letter = Letter(
            is_dead,
            record.partition,
            record.offset,
            last.job.origin,
            last.job.n,
            last.job.attempt,
            last.error_class,
            last.message,
        )
        return (last.job.job_id, *letter)

    def _hops(self, records: list[Record]) -> None:
        """Note where a dispatch came by; most of these records are whole jobs, of which little is read."""
        rows = []
        for record in records:
            if record.key is None or record.header("kind") in NO_HOPS:
                continue  # In `jobs.held`: the word that jobs were handed on; in gates: of ends and times.
            carrier = _CARRIER.decode(record.value or b"{}")
            n = carrier.n if carrier.job is None else carrier.job.n
            rows.append(
                (
                    (record.key or b"").decode(),
                    n,
                    record.topic,
                    record.partition,
                    record.offset,
                    record.timestamp_ms,
                    (record.header("origin") or b"").decode(),
                    carrier.then,
                )
            )
        self._book.add("hops", rows)


def _place(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


def event_row(event: FoldedEvent, raw: bytes) -> tuple[object, ...]:
    place = (event.event.job_id, event.partition, event.offset, event.timestamp_ms, raw)
    outcome = event.outcome
    if outcome is None:
        return (*place, 0, 0, None, 0, 0, 0, 0)
    state = None if outcome.state is None else str(outcome.state)
    return (
        *place,
        1,
        outcome.holds,
        state,
        outcome.rank,
        outcome.closed_n,
        outcome.late,
        outcome.job is not None,
    )
