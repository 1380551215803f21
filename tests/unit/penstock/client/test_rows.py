"""What the client hands out."""

import uuid

from core.states import TERMINAL
from penstock.client.rows import TERMINAL_STATES, JobRow, SubmittedRef
from penstock.identity import Origin, job_id_from_key, job_id_from_origin

ORIGIN = Origin("e", 3, 14)


def test_the_client_knows_the_same_terminal_states_as_the_law() -> None:
    assert {state.value for state in TERMINAL} == TERMINAL_STATES


def test_a_row_keeps_columns_of_a_newer_version() -> None:
    row = JobRow.of({"job_id": uuid.UUID(int=5), "state": "dead", "invented_later": 7})
    assert row.job_id == str(uuid.UUID(int=5))
    assert row.other == {"invented_later": 7}
    assert row.is_terminal
    assert row.origin is None


def test_a_row_gives_its_origin_once_it_is_known() -> None:
    row = JobRow("i", "queued", origin_epoch="e", origin_partition=3, origin_offset=14)
    assert row.origin == ORIGIN
    assert not row.is_terminal


def test_a_reference_knows_whether_its_own_record_named_the_job() -> None:
    own = SubmittedRef(job_id_from_origin(ORIGIN, 99), ORIGIN, 99)
    keyed = SubmittedRef(job_id_from_key("t", "k"), ORIGIN, 99)
    assert own.is_named_by_origin
    assert not keyed.is_named_by_origin
    assert str(own) == own.job_id
