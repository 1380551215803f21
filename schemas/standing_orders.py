"""What operators have ordered, as far as ``control`` was read: the newest word about each subject holds."""

from collections import defaultdict
from typing import NamedTuple

from core.breaker import CLOSED, Circuit, State
from core.dependencies import AT
from core.limits import Limit, default_burst
from core.log import NewRecord, Record
from core.subjects import Cause, HasCircuit, HasSubjects, HeldFor, Scope, Subject, subjects_of
from schemas.codec import decode_control, encode
from schemas.control import CircuitRecord, DrainRecord, LimitRecord, PauseRecord
from schemas.topics import RouteMap

_KEYS = (b"pause/", b"limit/", b"drain/", b"circuit/")


WAITS_ON_CIRCUIT = "circuit"
"""What notes and the table say of a job that waits for a circuit."""


class Standing(NamedTuple):
    """A pause that holds, and since when by broker time."""

    record: PauseRecord
    since_ms: int


class StandingOrders:
    """The fold of ``control`` as far as pauses, limits, circuits and drains go."""

    def __init__(self) -> None:
        self.pauses: dict[Subject, Standing] = {}
        self.limits: dict[Subject, Limit] = {}
        """What holds: of what an operator and a circuit allow, the smaller."""
        self.limit_records: dict[Subject, LimitRecord] = {}
        """Of operators alone."""
        self.circuits: dict[str, CircuitRecord] = {}
        """By name; those that were closed too, as long as somebody has use for that."""
        self._narrowed: defaultdict[str, set[str]] = defaultdict(set)
        """Circuits of single hosts that are not closed, by type."""
        self.drains: dict[str, bool] = {}
        """By instance of an executor."""

    def take(self, record: Record) -> bool:
        """Fold one record of ``control``; whether it was about any of this."""
        if record.value is None or not (record.key or b"").startswith(_KEYS):
            return False
        match decode_control(record):
            case PauseRecord() as pause:
                self._pause(pause, record.timestamp_ms)
            case LimitRecord() as limit:
                self._limit(limit)
            case CircuitRecord() as circuit:
                self.put_circuit(circuit)
            case DrainRecord() as drain:
                self.drains[drain.instance] = drain.draining
            case _:
                return False
        return True

    def _pause(self, pause: PauseRecord, at_ms: int) -> None:
        subject = Subject(pause.scope, pause.name)
        if pause.paused:
            known = self.pauses.get(subject)
            self.pauses[subject] = Standing(pause, at_ms if known is None else known.since_ms)
        else:
            self.pauses.pop(subject, None)

    def _limit(self, record: LimitRecord) -> None:
        subject = Subject(record.scope, record.name)
        if record.rate_per_s is None:
            self.limit_records.pop(subject, None)
        else:
            self.limit_records[subject] = record
        self._settle(subject)

    def put_circuit(self, record: CircuitRecord) -> None:
        """Fold the word about a circuit."""
        self.circuits[record.name] = record
        self._settle(circuit_subject(record.name))
        type_, _, host = record.name.partition(AT)
        if host and record.state is State.CLOSED:
            self._narrowed[type_].discard(host)
        elif host:
            self._narrowed[type_].add(host)

    def _settle(self, subject: Subject) -> None:
        """Work out which limit of a subject holds."""
        allowed: list[Limit] = []
        own, circuit = self.limit_records.get(subject), self.open_circuit(subject)
        if own is not None and own.rate_per_s is not None:
            allowed.append(Limit(own.rate_per_s, own.burst))
        if circuit is not None:
            allowed.append(Limit(circuit.rate_per_s, default_burst(circuit.rate_per_s)))
        if allowed:
            rates, bursts = zip(*allowed, strict=True)
            self.limits[subject] = Limit(min(rates), min(bursts))
        else:
            self.limits.pop(subject, None)

    def open_circuit(self, subject: Subject) -> CircuitRecord | None:
        """Give the circuit that limits a subject; None: none does."""
        circuit = self.circuits.get(subject.name) if subject.scope is Scope.TYPE else None
        return None if circuit is None or circuit.state is State.CLOSED else circuit

    def waits_on(self, held_for: HeldFor) -> str:
        """Say what something held waits on: a pause, a limit, or a circuit where it is that which limits."""
        circuit = self.open_circuit(held_for.subject) if held_for.cause is Cause.LIMIT else None
        if circuit is None:
            return str(held_for.cause)
        own = self.limit_records.get(held_for.subject)
        is_own = own is not None and (own.rate_per_s or 0.0) < circuit.rate_per_s
        return str(held_for.cause) if is_own else WAITS_ON_CIRCUIT

    def pause_of(self, job: HasSubjects) -> HeldFor | None:
        """Give what a job has to be held for now; None: it may go on."""
        if not self.pauses:
            return None
        subject = next((one for one in subjects_of(job) if one in self.pauses), None)
        return None if subject is None else HeldFor(Cause.PAUSE, subject)

    def limits_of(self, job: HasCircuit) -> tuple[Subject, ...]:
        """Give the limited subjects of a job."""
        if not self.limits:
            return ()
        limited = tuple(one for one in subjects_of(job) if one in self.limits)
        if not self._narrowed.get(job.type):
            return limited
        narrowed = circuit_subject(job.circuit)
        is_more = narrowed in self.limits and narrowed not in limited
        return (*limited, narrowed) if is_more else limited


def pause_record(routes: RouteMap, pause: PauseRecord) -> NewRecord:
    """Make the record that pauses or resumes a subject."""
    key = str(HeldFor(Cause.PAUSE, Subject(pause.scope, pause.name)))
    return NewRecord(routes.control, 0, key.encode(), encode(pause))


def circuit_subject(name: str) -> Subject:
    """Give what a circuit limits: a type, or one host of it under a name that no type has.

    Held jobs are named by it, and an earlier version, which knows no circuits, reads it as a type without
    a limit and hands them on.
    """
    return Subject(Scope.TYPE, name)


def circuit_of_record(record: CircuitRecord | None) -> Circuit:
    """Give a circuit as the rule has it; nothing was ever said of a closed one."""
    if record is None:
        return CLOSED
    return Circuit(**{name: getattr(record, name) for name in Circuit._fields})


def record_of_circuit(name: str, circuit: Circuit, uses: tuple[str, ...], by: str = "") -> CircuitRecord:
    """Give what is said of a circuit."""
    return CircuitRecord(name, **circuit._asdict(), uses=uses, by=by)


def circuit_record(routes: RouteMap, circuit: CircuitRecord) -> NewRecord:
    """Make the record that says how a circuit stands."""
    return NewRecord(routes.control, 0, f"circuit/{circuit.name}".encode(), encode(circuit))


def limit_record(routes: RouteMap, limit: LimitRecord) -> NewRecord:
    """Make the record that limits a subject, or takes its limit away.

    Raises
    ------
    ValueError
        Pools have slots, and no limit.
    """
    if limit.scope is Scope.POOL:
        raise ValueError("a pool has no rate limit: its executors' slots limit it")
    key = str(HeldFor(Cause.LIMIT, Subject(limit.scope, limit.name)))
    return NewRecord(routes.control, 0, key.encode(), encode(limit))
