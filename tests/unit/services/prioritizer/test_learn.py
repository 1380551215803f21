"""What the rule's run times learn from a report, and that they learn it once."""

from core.learning.events import Ended, Key, Kind, Status, Submitted
from core.log import Record
from core.run_times import Completed
from schemas.codec import decode_outcome
from schemas.outcomes import Report, Subject, outcome_records, partition_of
from schemas.topics import RouteMap
from services.prioritizer.learn import completions

ROUTES = RouteMap(partitions=4)


def test_successes_count_once_though_several_partitions_tell_of_them() -> None:
    reports = [
        Report(Subject(tenant, type_), Ended(9, f"e:0:{tenant}{type_}{n}", 1, run_ms, status, 1))
        for tenant in ("acme", "else")
        for type_ in ("long", "short")
        for n, (run_ms, status) in enumerate([(500, Status.OK), (1500, Status.OK), (99, Status.FAILED)])
    ]
    reports.append(Report(Subject("acme", "new"), Submitted(9, "e:0:9", 1, 5)))
    found: list[Completed] = []
    for record in outcome_records(ROUTES, "executor-0", 1, 10, reports):
        read = Record(record.topic, record.partition, 0, 10, record.key, record.value, ())
        some = completions(decode_outcome(read), record.partition, ROUTES)
        assert {partition_of(Key(Kind.TYPE, type=one.type), 4) for one in some} <= {record.partition}
        found += some
    assert sorted(found) == [Completed(type_, 2, 2.0) for type_ in ("long", "long", "short", "short")]
