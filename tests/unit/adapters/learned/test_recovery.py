"""Models of recoveries: their bytes, and what they answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.learned.heads import Head
from adapters.learned.recovery import RecoveryModel
from adapters.learned.recovery_bytes import MAGIC, pack_recovery, unpack_recovery
from core.retrying.choice import Moment, Subject
from core.retrying.evidence import Settled, evidence_of, problem_of
from core.retrying.history import SNAPSHOT_KEYS_MAX, History, Seen
from tests.support.recoveries import a_head, a_history, a_moment

HEAD = Head(b"a booster", 7)
EVIDENCE = evidence_of(
    Settled(fault, arm, 0.3, 1.0 + number)
    for fault in ("transient", "timeout")
    for arm in ("rule", "planned")
    for number in range(7)
)
DATA = pack_recovery(a_history(), HEAD, EVIDENCE)


def test_a_model_is_read_as_it_was_written() -> None:
    history, head, evidence = unpack_recovery(DATA)
    assert (head, evidence) == (HEAD, EVIDENCE)
    for subject in (Subject("t1", "k1", "e1"), Subject("new", "k1", "e1"), Subject()):
        assert np.array_equal(history.of(subject), a_history().of(subject))
    assert pack_recovery(history, head, evidence) == DATA


def test_a_history_without_episodes_is_carried_too() -> None:
    history, _, evidence = unpack_recovery(pack_recovery(History(), HEAD))
    assert len(history) == len(evidence) == 0


def test_a_model_that_tells_no_costs_is_read_by_versions_that_know_of_none() -> None:
    assert b"evidence" not in pack_recovery(a_history(), HEAD)


@pytest.mark.parametrize(
    "numbers", ["[1.0,2.0,0.0,0.0]", "[1.0,1.0,3.0,1.0]", "[-1.0,1.0,1.0,1.0]", "[0.0,1.0,0.0,0.0]"]
)
def test_costs_that_no_decisions_can_add_up_to_are_refused(numbers: str) -> None:
    header = f'{{"keys":[],"rounds":7,"head_bytes":9,"evidence":{{"timeout":{{"rule":{numbers}}}}}}}'.encode()
    data = MAGIC + len(header).to_bytes(4, "little") + header + HEAD.ubj
    with pytest.raises(ValueError, match="what 'rule' cost after 'timeout' cannot be"):
        unpack_recovery(data)


def test_the_largest_model_stays_below_four_megabytes() -> None:
    history = History()
    for number in range(SNAPSHOT_KEYS_MAX):
        history.add(Subject(f"tenant{number}", f"type{number}", f"error{number}"), Seen(1.0, 2.0))
    data = pack_recovery(history, a_head())
    assert len(data) < 4_000_000
    assert len(unpack_recovery(data).history) == SNAPSHOT_KEYS_MAX


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_an_error_of_value_or_another_model(at: int, change: int) -> None:
    damaged = bytearray(DATA)
    damaged[at] ^= change
    try:
        history, head, evidence = unpack_recovery(bytes(damaged))
    except ValueError:
        return
    assert np.isfinite(history.of(Subject("t1", "k1", "e1"))).all()
    assert head.rounds >= 1
    assert problem_of(evidence) is None


@given(st.integers(0, len(DATA) - 1))
def test_what_is_cut_off_or_longer_is_refused(length: int) -> None:
    with pytest.raises(ValueError):
        unpack_recovery(DATA[:length])
    with pytest.raises(ValueError):
        unpack_recovery(DATA + DATA[: length + 1])


def test_a_header_that_claims_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="header of 4294967295 bytes"):
        unpack_recovery(MAGIC + b"\xff\xff\xff\xff" + DATA)


def test_a_model_asks_its_history_as_it_stands_and_corrects_it() -> None:
    history = a_history()
    model = RecoveryModel("20260101-000000-abcdef01", history, a_head())
    assert (model.name, model.history) == ("20260101-000000-abcdef01", history)
    bare = Moment(0.0, 1, 5, subject=Subject("t1", "k1", "e1"))
    assert np.array_equal(model.hazards(bare), history.hazards(bare))
    corrected = model.hazards(a_moment(quick=True))
    assert not np.array_equal(corrected, history.hazards(a_moment(quick=True)))
    for _ in range(50):
        model.history.add(Subject("t1", "k1", "e1"), Seen(0.0, 1.0))
    assert not np.array_equal(model.hazards(a_moment(quick=True)), corrected)
