"""Costs from measured points: the spread, what is missing, and what is borrowed."""

from dataclasses import replace

import pytest

from core.planning.costs import CostsError, Provenance, Range, completed, fit
from core.planning.laws import Scalability
from core.planning.measured import SHIPPED
from tests.support.planning import point

PROVENANCE = Provenance("a processor", 2, "3.11", "abc1234", "2030-01-01", 0.5, 3)


def test_the_spread_is_that_of_the_rounds() -> None:
    rounds = tuple(point(us).cpu_us[0] for us in (90.0, 100.0, 130.0))
    found = fit([replace(point(0.0), cpu_us=rounds)], PROVENANCE)
    assert found.cpu_us["kafka"].base == Range(90.0, 100.0, 130.0)
    # In proportion, also with a payload.
    assert found.cpu_us["kafka"].of(0, 0) == Range(90.0, 100.0, 130.0)


def test_without_plain_jobs_there_are_no_costs() -> None:
    with pytest.raises(CostsError, match="no backlog of plain jobs"):
        fit([point(1.0, attempts_per_job=2)], PROVENANCE)
    with pytest.raises(CostsError, match="no backlog of plain jobs"):
        fit([], PROVENANCE)


def test_a_process_that_was_not_measured_is_named() -> None:
    lacking = replace(point(1.0), cpu_us=({"ingest": 1.0},))
    with pytest.raises(CostsError, match="materializer"):
        fit([lacking], PROVENANCE)


def test_what_was_not_measured_is_borrowed_and_said() -> None:
    own = completed(fit([point(500.0)], PROVENANCE), SHIPPED)
    assert own.cpu_us["ingest"].base.typical == 500.0
    assert own.cpu_us["ingest"].a_payload_byte == SHIPPED.cpu_us["ingest"].a_payload_byte
    assert own.log_bytes == SHIPPED.log_bytes
    assert own.alone_us == SHIPPED.alone_us
    assert len(own.borrowed) == 6


def test_what_was_measured_is_not_borrowed() -> None:
    volume = {"jobs.events": 1000.0}
    points = [
        replace(one, log_bytes=volume, table_bytes={"jobs": 900.0}, wal_bytes=2000.0)
        for one in (point(1.0), point(2.0, payload_bytes=10), point(3.0, attempts_per_job=2), point(2.0, 16))
    ]
    points.append(replace(points[0], instances=2))
    own = completed(fit(points, PROVENANCE), SHIPPED)
    assert own.borrowed == ("what records cost that are batches of their own",)
    assert own.log_bytes["jobs.events"].base == Range(1000.0, 1000.0, 1000.0)
    assert own.wal_bytes.base.typical == 2000.0


def test_instances_that_cost_more_together_give_contention() -> None:
    points = [point(100.0), replace(point(110.0), instances=2), replace(point(130.0), instances=4)]
    found = fit(points, PROVENANCE).scaling
    # D(N) = 100 (1 + 0.1 (N - 1)).
    assert found.contention == pytest.approx(0.1)
    assert found.coherency == pytest.approx(0.0)


def test_nothing_is_cheaper_for_being_more() -> None:
    found = fit([point(100.0), point(80.0, payload_bytes=1000)], PROVENANCE)
    assert found.cpu_us["ingest"].a_payload_byte == 0.0
    assert found.scaling == Scalability()
