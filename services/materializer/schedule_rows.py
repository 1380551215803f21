"""From records of ``schedules`` to what the table of schedules is to show. Pure."""

from collections.abc import Iterable

from core.cron import CronError
from core.log import Record
from core.timing import next_tick
from ports.schedule_table import DefinedRow, FiredRow, ScheduleRows
from schemas.codec import encode
from schemas.schedule_text import job_members, shown_plan, state_of, ticks_text
from schemas.schedules import Defined, Deleted, Fired, decode_schedule


def schedule_rows(records: Iterable[Record]) -> ScheduleRows:
    """Reduce a batch to the last word about each definition and each firing.

    Raises
    ------
    schemas.codec.UnreadableRecordError
        The service stops.
    """
    defined: dict[str, DefinedRow] = {}
    fired: dict[tuple[str, str], FiredRow] = {}
    for record in records:
        if record.value is None:
            continue
        match decode_schedule(record):
            case Defined() as one:
                defined[one.name] = _defined(one, record.timestamp_ms)
            case Deleted() as gone:
                defined[gone.name] = _deleted(gone, record.timestamp_ms, defined.get(gone.name))
            case Fired() as far:
                known = fired.get((far.name, far.incarnation))
                if known is None or far.through_ms > known.through_ms:
                    fired[far.name, far.incarnation] = FiredRow(
                        far.name,
                        far.incarnation,
                        far.through_ms,
                        far.last_ms,
                        far.next_ms,
                        far.fired,
                        record.timestamp_ms,
                    )
    return ScheduleRows(list(defined.values()), list(fired.values()))


def _deleted(gone: Deleted, at_ms: int, before: DefinedRow | None) -> DefinedRow:
    row = DefinedRow(gone.name, gone.incarnation, gone.version, "deleted", at_ms, gone.by)
    if before is None:
        return row
    # What it was stays to be seen, as in a table that had the definition already.
    return before._replace(
        incarnation=row.incarnation,
        version=row.version,
        state=row.state,
        at_ms=at_ms,
        by=row.by,
        next_ms=None,
    )


def _defined(defined: Defined, at_ms: int) -> DefinedRow:
    plan = defined.plan
    try:
        next_ms = next_tick(plan.timing, at_ms)
    except (CronError, ValueError):
        # Written by another version; the scheduler names it.
        next_ms = None
    state = state_of(plan, next_ms)
    members = job_members(plan)
    return DefinedRow(
        defined.name,
        defined.incarnation,
        defined.version,
        state,
        at_ms,
        defined.by,
        ticks=ticks_text(plan),
        zone=plan.zone if plan.cron is not None else None,
        tenant=str(members.get("tenant", "default")),
        type=str(members["type"]),
        pool=str(members.get("pool", "default")),
        catch_up=str(defined.catch_up),
        overlap=str(plan.overlap),
        definition=encode(shown_plan(plan)).decode(),
        next_ms=next_ms if state == "active" else None,
    )
