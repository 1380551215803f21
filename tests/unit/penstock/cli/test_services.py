"""Who runs, and whose clock is wrong, from what instances announced."""

from adapters.embedded.checks import Outcome
from core.log import Record
from core.wall_clock import SILENT_AFTER_S
from penstock.cli.doctor import check_clocks
from penstock.cli.services import describe_skew, instances
from schemas.codec import encode
from schemas.control import DrainRecord, PresenceRecord

NOW_MS = 1_790_000_000_000


def record(instance: str, age_s: float, skew_ms: int | None, wall_off_ms: int = 0) -> Record:
    at_ms = int(NOW_MS - age_s * 1000)
    presence = PresenceRecord("ingest", instance, at_ms + wall_off_ms, "host-1", 7, "1.0", 9100, skew_ms)
    return Record("control", 0, 0, at_ms, f"presence/{instance}".encode(), encode(presence), ())


def test_the_last_word_of_each_instance_counts_and_the_silent_are_left_out() -> None:
    drain = Record("control", 0, 0, NOW_MS, b"drain/e", encode(DrainRecord("e", draining=True)), ())
    found = instances(
        [
            drain,
            record("b", 90, 7_200_000),
            record("gone", SILENT_AFTER_S + 1, 0),
            record("a", 30, None, wall_off_ms=-60_000),
            record("b", 60, 20),
        ],
        NOW_MS,
    )
    assert [(one.presence.instance, one.skew_s, one.age_s) for one in found] == [
        ("a", -60.0, 30.0),
        ("b", 0.02, 60.0),
    ]
    assert [one.clock_is_wrong for one in found] == [True, False]


def test_how_far_a_clock_is_off_is_said_in_words() -> None:
    assert [describe_skew(skew_s) for skew_s in (0.3, 7200.0, -12.0)] == [
        "right",
        "7200.0 s ahead",
        "12.0 s behind",
    ]


def test_the_doctor_names_instance_offset_and_host_of_a_wrong_clock() -> None:
    right = instances([record("a", 1, 0), record("b", 1, 100)], NOW_MS)
    assert check_clocks(right).outcome is Outcome.GOOD
    found = check_clocks(instances([record("a", 1, 0), record("b", 1, -8000)], NOW_MS))
    assert found.outcome is Outcome.WARNING
    assert found.detail == "b is 8.0 s behind"
    assert "host-1" in found.remedy
