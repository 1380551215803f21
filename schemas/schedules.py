"""Records of the compacted topic ``schedules``, and the jobs their ticks become.

Everything here is a function of the record, so whoever fires a tick once more makes the same job.
"""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from core.log import NewRecord, Record
from core.schedules import CatchUp, Overlap, Pace, Rules, Segment, jitter_of
from core.timing import Cron, Every, Once, Timing
from penstock.identity import home, job_id_from_tick
from schemas.codec import UnreadableRecordError, encode
from schemas.topics import SCHEDULE_PARTITIONS, RouteMap

LABEL_SCHEDULE, LABEL_TICK = "schedule", "tick"
"""Labels of a tick's job: analysts find it by them."""
OWN_LABELS = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRED = b"fired/"
_HEADERS = ("schema", b"1")


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """When jobs are made, and which. Exactly one of ``cron``, ``every_ms`` and ``at_ms`` is set."""

    job: msgspec.Raw
    """Members of the job contract as a JSON object; what a tick adds is not among them."""
    cron: str | None = None
    zone: str = "UTC"
    every_ms: int | None = None
    anchor_ms: int = 0
    at_ms: int | None = None
    jitter_ms: int = 0
    overlap: Overlap = Overlap.ALLOW
    expires_after_ms: int | None = None
    deadline_after_ms: int | None = None
    paused: bool = False

    @property
    def timing(self) -> Timing:
        """When it ticks."""
        if self.cron is not None:
            return Cron(self.cron, self.zone)
        if self.every_ms is not None:
            return Every(self.every_ms, self.anchor_ms)
        if self.at_ms is None:
            raise ValueError("a plan with neither `cron` nor `every_ms` nor `at_ms`")
        return Once(self.at_ms)


class Past(msgspec.Struct, frozen=True, omit_defaults=True):
    """A plan that was in force in ``(since_ms, until_ms]``, and had ticks that may not be fired yet."""

    since_ms: int
    plan: Plan
    until_ms: int | None = None
    """None: until the record that carries this was appended."""


class Defined(msgspec.Struct, frozen=True, omit_defaults=True, tag="DEFINED", tag_field="kind"):
    """A schedule as somebody wants it from the append time of this record on."""

    name: str
    incarnation: str
    """Made when the schedule was created: one that is deleted and created again has other ticks."""
    version: int
    """1, and one more with each edit, pause and resume."""
    plan: Plan
    catch_up: CatchUp = CatchUp.LATEST
    window_ms: int = 86_400_000
    before: tuple[Past, ...] = ()
    """In order of time."""
    by: str = ""

    @property
    def rules(self) -> Rules:
        """What decides about missed ticks."""
        return Rules(self.catch_up, self.window_ms)


class Deleted(msgspec.Struct, frozen=True, omit_defaults=True, tag="DELETED", tag_field="kind"):
    """A schedule is gone. No null record: Kafka drops those, and a table that is behind would never hear."""

    name: str
    incarnation: str
    version: int
    by: str = ""


class Fired(msgspec.Struct, frozen=True, omit_defaults=True, tag="FIRED", tag_field="kind"):
    """Every tick up to ``through_ms`` is settled: its job is in ``jobs``, or it was passed over."""

    name: str
    incarnation: str
    through_ms: int
    last_ms: int | None = None
    """The newest tick that fired."""
    fired: int = 0
    """How many fired so far."""
    next_ms: int | None = None
    """The next tick, as the definition was."""


ScheduleRecord = Defined | Deleted | Fired


_decode_record: Callable[[bytes], ScheduleRecord] = msgspec.json.Decoder(ScheduleRecord).decode
decode_definition: Callable[[bytes], Defined] = msgspec.json.Decoder(Defined).decode
_decode_members: Callable[[bytes], dict[str, msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw]
).decode
_decode_labels: Callable[[bytes], dict[str, str]] = msgspec.json.Decoder(dict[str, str]).decode


def decode_schedule(record: Record) -> ScheduleRecord:
    """Read a record of ``schedules`` that is not null.

    Raises
    ------
    UnreadableRecordError
        Another version, or something else, writes into the topic; the service stops.
    """
    try:
        return _decode_record(record.value or b"")
    except msgspec.DecodeError as error:
        raise UnreadableRecordError(
            f"{record.topic}/{record.partition}/{record.offset}: {error}; "
            "it was written by another version or by something that is not Penstock"
        ) from error


def partition_of(name: str) -> int:
    """Give the partition of ``schedules`` on which everything about a schedule stands, in every epoch."""
    return zlib.crc32(name.encode()) % SCHEDULE_PARTITIONS


def schedule_record(routes: RouteMap, message: Defined | Deleted) -> NewRecord:
    """Make the record of a definition, or of its end."""
    return _record(routes, message.name, message.name.encode(), message)


def fired_record(routes: RouteMap, fired: Fired) -> NewRecord:
    """Make the record that says how far a schedule has fired."""
    return _record(routes, fired.name, fired_key(fired.name, fired.incarnation), fired)


def forgotten_record(routes: RouteMap, name: str, incarnation: str) -> NewRecord:
    """Make the null record by which Kafka drops how far a deleted schedule had fired."""
    return NewRecord(routes.schedules, partition_of(name), fired_key(name, incarnation), None, (_HEADERS,))


def fired_key(name: str, incarnation: str) -> bytes:
    """Give the key of ``Fired``: one an incarnation, so that a latecomer of an older one replaces nothing."""
    return _FIRED + f"{name}/{incarnation}".encode()


def _record(routes: RouteMap, name: str, key: bytes, message: ScheduleRecord) -> NewRecord:
    kind = str(message.__struct_config__.tag).encode()
    return NewRecord(routes.schedules, partition_of(name), key, encode(message), (_HEADERS, ("kind", kind)))


def plans_of(defined: Defined) -> tuple[Plan, ...]:
    """Give the plan of each segment."""
    return (*(past.plan for past in defined.before), defined.plan)


def segments_of(defined: Defined, at_ms: int) -> tuple[Segment, ...]:
    """Give the segments of a definition that was appended at ``at_ms``.

    One that ticks once, and is new, ticks also when it was appended a little too late for its time.
    """
    past = [
        Segment(
            one.since_ms, at_ms if one.until_ms is None else one.until_ms, one.plan.timing, _pace(one.plan)
        )
        for one in defined.before
    ]
    since_ms = at_ms
    if not past and defined.version == 1 and defined.plan.at_ms is not None:
        since_ms = min(at_ms, defined.plan.at_ms - 1)
    return (*past, Segment(since_ms, None, defined.plan.timing, _pace(defined.plan)))


def _pace(plan: Plan) -> Pace:
    return Pace.PAUSED if plan.paused else Pace.ACTIVE


def tick_record(routes: RouteMap, defined: Defined, plan: Plan, at_ms: int) -> NewRecord:
    """Make the record of ``jobs`` that a tick becomes."""
    job_id = job_id_from_tick(defined.name, defined.incarnation, at_ms)
    return _job_record(routes, job_id, tick_members(defined, plan, at_ms, job_id))


def run_record(routes: RouteMap, defined: Defined, at_ms: int, asked: str) -> NewRecord:
    """Make the record of ``jobs`` for a run asked for by hand.

    Parameters
    ----------
    asked
        Names this request: repeated, it is the same job.
    """
    job_id = job_id_from_tick(defined.name, defined.incarnation, at_ms, asked)
    return _job_record(routes, job_id, tick_members(defined, defined.plan, at_ms, job_id, jitter=False))


def _job_record(routes: RouteMap, job_id: str, members: dict[str, object]) -> NewRecord:
    return NewRecord(routes.jobs, home(job_id, routes.partitions), job_id.encode(), encode(members))


def tick_members(
    defined: Defined, plan: Plan, at_ms: int, job_id: str, *, jitter: bool = True
) -> dict[str, object]:
    """Give the members of the job contract for one tick."""
    members: dict[str, object] = dict(_decode_members(plan.job))
    labels = members.get("labels")
    given = _decode_labels(labels) if isinstance(labels, msgspec.Raw) else {}
    members["job_id"] = job_id
    members["labels"] = given | {LABEL_SCHEDULE: defined.name, LABEL_TICK: rfc3339(at_ms)}
    start_ms = at_ms + (jitter_of(defined.incarnation, at_ms, plan.jitter_ms) if jitter else 0)
    if start_ms != at_ms:
        members["run_at"] = rfc3339(start_ms)
    if plan.deadline_after_ms is not None:
        members["deadline"] = rfc3339(start_ms + plan.deadline_after_ms)
    if plan.expires_after_ms is not None:
        members["expires_at"] = rfc3339(start_ms + plan.expires_after_ms)
    if plan.overlap is not Overlap.ALLOW:
        members["ordering_key"] = f"schedule:{defined.name}"
        members["on_busy"] = "skip" if plan.overlap is Overlap.SKIP else "wait"
    return members


def rfc3339(time_ms: int) -> str:
    """Write a time, to the millisecond where it has any."""
    precision = "milliseconds" if time_ms % 1000 else "seconds"
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec=precision).replace("+00:00", "Z")
