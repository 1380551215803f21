import pytest

from ports.state_table import Move
from services.materializer.decide import RETRY_CAP_S, TableBehindError, moves_of, retry_delay_s, rows_from
from tests.support.ledger_stories import accepted, claimed, folded, job_id_of


def test_events_below_the_tables_offset_give_no_rows() -> None:
    events = folded([accepted(), claimed()])
    partition = events[0].partition
    rows = rows_from(events, {partition: 1})
    assert "type" not in rows.jobs[job_id_of(0)]
    assert rows.jobs[job_id_of(0)]["state"] == "running"


def test_a_partition_moves_from_where_the_table_is_to_the_end_of_the_batch() -> None:
    assert moves_of({0: 5, 1: 0}, {0: 9, 1: 4}, {0: 7, 1: 4}) == {0: Move(7, 9)}


def test_a_table_that_lacks_what_was_folded_and_forgotten_stops_the_service() -> None:
    with pytest.raises(TableBehindError, match=r"ends at offset 3 of ledger partition 0"):
        moves_of({0: 5}, {0: 9}, {0: 3})


def test_pauses_double_up_to_a_cap() -> None:
    assert [retry_delay_s(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert retry_delay_s(1000) == RETRY_CAP_S
