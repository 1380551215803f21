"""A reporter of outcomes to whom nobody listens, and the reports of one that is listened to."""

from typing import cast

from core.log import Record
from ports.log import Appender
from ports.meter import Meter
from ports.outcomes import OutcomeReporter
from schemas.codec import decode_outcome
from schemas.outcomes import Report, reports_of
from schemas.topics import RouteMap
from tests.model.process import NoMeter


def unheard(routes: RouteMap) -> OutcomeReporter:
    """Give a reporter that is never asked to append."""
    return OutcomeReporter(routes, cast("Appender", None), cast("Meter", NoMeter()), lambda: 5, source="x")


def told(records: list[Record]) -> set[Report]:
    """Give what records of ``jobs.outcomes`` tell, each thing once, on however many partitions it stands."""
    return {report for record in records for report in reports_of(decode_outcome(record))}
