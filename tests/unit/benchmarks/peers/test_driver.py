"""The driver waits for final states, and gives up when none comes any more."""

from collections.abc import Sequence

import pytest

from benchmarks.peers.apps import driver


class Jobs:
    """A job system in memory: every question finds the next few jobs ended."""

    packages = ("pytest",)

    def __init__(self, ends_at_once: int) -> None:
        self._at_once = ends_at_once
        self.submitted: list[int] = []
        self.ended_ids: list[str] = []

    async def open(self) -> None:
        """Nothing to connect to."""

    async def submit_many(self, numbers: Sequence[int]) -> list[str]:
        return [await self.submit(number) for number in numbers]

    async def submit(self, number: int) -> str:
        self.submitted.append(number)
        return str(number)

    async def ended(self, ids: Sequence[str]) -> set[str]:
        found = list(ids)[: self._at_once]
        self.ended_ids += found
        return set(found)


async def test_a_backlog_is_over_when_every_job_was_seen_as_ended() -> None:
    jobs = Jobs(ends_at_once=400)
    answer = await driver._backlog(jobs, {"first": 5, "jobs": 2500})
    assert jobs.submitted == list(range(5, 2505))
    assert sorted(jobs.ended_ids, key=int) == [str(number) for number in range(5, 2505)]
    assert 0 <= answer["submitted_s"] <= answer["elapsed_s"]


async def test_at_a_rate_every_job_is_shown_after_it_was_due() -> None:
    jobs = Jobs(ends_at_once=3)
    answer = await driver._rate(jobs, {"first": 0, "jobs": 20, "per_s": 400})
    due_ns = [answer["began_ns"] + place * 1e9 / 400 for place in range(20)]
    assert all(shown >= due for shown, due in zip(answer["shown_ns"], due_ns, strict=True))


async def test_jobs_that_never_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "STALL_S", 0.05)
    with pytest.raises(TimeoutError, match="10 of 10 jobs have not ended"):
        await driver._backlog(Jobs(ends_at_once=0), {"first": 0, "jobs": 10})
    with pytest.raises(TimeoutError, match="jobs have not ended"):
        await driver._rate(Jobs(ends_at_once=0), {"first": 0, "jobs": 5, "per_s": 500})
