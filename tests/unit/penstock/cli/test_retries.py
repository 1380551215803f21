"""What is told from logged decisions, and what is refused."""

from typing import Any

from core.retrying.explore import CONTROL
from penstock.cli.retries import judge, logged_of, members, summary


def rows(arm: str, propensity: float, cost_s: float, count: int) -> list[dict[str, Any]]:
    return [
        {
            "job_id": f"00000000-0000-4000-8000-{number:012x}",
            "arm": arm,
            "propensity": propensity,
            "cost_s": cost_s + number % 3,
            "error_class": "transient",
        }
        for number in range(count)
    ]


def test_the_rule_comes_first_and_a_cheaper_arm_is_called_so() -> None:
    found = judge(logged_of(rows("fourfold", 0.05, 100.0, 300) + rows(CONTROL, 0.95, 300.0, 5700)))
    assert [(one.arm, one.logged) for one in found] == [(CONTROL, 5700), ("fourfold", 300)]
    assert found[0].verdict == ""
    assert found[1].verdict.startswith("cheaper by 200.0 s")
    assert members(found[1])["effective"] == 300
    assert "6000 decisions" in summary(6000, found)


def test_what_does_not_differ_is_not_told_apart_and_thin_evidence_gets_no_verdict() -> None:
    same = judge(logged_of(rows("planned", 0.05, 300.0, 300) + rows(CONTROL, 0.95, 300.0, 5700)))
    assert same[1].verdict.startswith("not told apart")
    dear = judge(logged_of(rows("planned", 0.05, 900.0, 300) + rows(CONTROL, 0.95, 300.0, 5700)))
    assert dear[1].verdict.startswith("dearer by 600.0 s")
    thin = judge(logged_of(rows("planned", 0.05, 1.0, 10) + rows(CONTROL, 0.95, 300.0, 190)))
    assert thin[1].verdict == "no verdict: they tell as much as 10 decisions of its own, 200 are needed"


def test_nothing_to_judge_by_names_what_to_do() -> None:
    assert summary(0, []).startswith("No decision")
    assert "PENSTOCK_RETRY_POLICY=learned" in summary(5, judge(logged_of(rows(CONTROL, 1.0, 1.0, 5))))
