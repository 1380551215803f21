"""The checks of ``penstock doctor``."""

from pathlib import Path

import pytest

from adapters.embedded.checks import (
    Outcome,
    check_disk,
    check_given_database,
    check_given_kafka,
    check_jars,
    check_java,
    check_memory,
    check_postgres,
)


@pytest.mark.parametrize(("kilobytes", "outcome"), [(500_000, Outcome.BAD), (4_000_000, Outcome.GOOD)])
def test_too_little_memory_is_found_and_has_a_remedy(
    tmp_path: Path, kilobytes: int, outcome: Outcome
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 1 kB\nMemAvailable: {kilobytes} kB\n")
    check = check_memory(meminfo)
    assert check.outcome is outcome
    assert bool(check.remedy) == (outcome is Outcome.BAD)


def test_the_disk_is_checked_where_the_directory_would_be_made(tmp_path: Path) -> None:
    assert str(tmp_path) in check_disk(tmp_path / "not" / "yet").detail


async def test_the_packaged_programs_run_here() -> None:
    java, postgres = await check_java(), await check_postgres()
    assert (java.outcome, postgres.outcome) == (Outcome.GOOD, Outcome.GOOD)
    assert "PostgreSQL" in postgres.detail


async def test_absent_jars_without_a_way_to_fetch_them_have_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("asyncio.open_connection", refuse)
    check = await check_jars(tmp_path)
    assert check.outcome is Outcome.BAD
    assert "PENSTOCK_KAFKA_BOOTSTRAP" in check.remedy


async def test_given_servers_that_do_not_answer_are_named_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PENSTOCK_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", "postgresql://a:the-password@127.0.0.1:1/x")
    kafka, database = await check_given_kafka(), await check_given_database()
    assert (kafka.outcome, database.outcome) == (Outcome.BAD, Outcome.BAD)
    assert kafka.remedy
    assert database.remedy
    assert "the-password" not in f"{kafka}{database}"
