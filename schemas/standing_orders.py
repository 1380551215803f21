"""What operators have ordered, as far as ``control`` was read: the newest word about each subject holds."""

from typing import NamedTuple

from core.limits import Limit
from core.log import NewRecord, Record
from core.subjects import Cause, HasSubjects, HeldFor, Scope, Subject, subjects_of
from schemas.codec import decode_control, encode
from schemas.control import DrainRecord, LimitRecord, PauseRecord
from schemas.topics import RouteMap

_KEYS = (b"pause/", b"limit/", b"drain/")


class Standing(NamedTuple):
    """A pause that holds, and since when by broker time."""

    record: PauseRecord
    since_ms: int


class StandingOrders:
    """The fold of ``control`` as far as pauses, limits and drains go."""

    def __init__(self) -> None:
        self.pauses: dict[Subject, Standing] = {}
        self.limits: dict[Subject, Limit] = {}
        self.limit_records: dict[Subject, LimitRecord] = {}
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
            self.limits.pop(subject, None)
            self.limit_records.pop(subject, None)
        else:
            self.limits[subject] = Limit(record.rate_per_s, record.burst)
            self.limit_records[subject] = record

    def pause_of(self, job: HasSubjects) -> HeldFor | None:
        """Give what a job has to be held for now; None: it may go on."""
        if not self.pauses:
            return None
        subject = next((one for one in subjects_of(job) if one in self.pauses), None)
        return None if subject is None else HeldFor(Cause.PAUSE, subject)

    def limits_of(self, job: HasSubjects) -> tuple[Subject, ...]:
        """Give the limited subjects of a job."""
        if not self.limits:
            return ()
        return tuple(one for one in subjects_of(job) if one in self.limits)


def pause_record(routes: RouteMap, pause: PauseRecord) -> NewRecord:
    """Make the record that pauses or resumes a subject."""
    key = str(HeldFor(Cause.PAUSE, Subject(pause.scope, pause.name)))
    return NewRecord(routes.control, 0, key.encode(), encode(pause))


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
