import logging

from adapters.telemetry.logs import Unrepeated


def said(logger: str, message: str, at_s: float, *args: object) -> logging.LogRecord:
    record = logging.LogRecord(logger, logging.ERROR, "", 0, message, args, None)
    record.created = at_s
    return record


def test_a_library_that_repeats_itself_is_heard_once_in_a_while() -> None:
    unrepeated = Unrepeated("aiokafka", 5.0)
    lines = [said("aiokafka.client", "no node %d", 100 + tenth / 10, tenth) for tenth in range(100)]
    assert [line.created for line in lines if unrepeated.filter(line)] == [100.0, 105.0]


def test_other_lines_of_it_and_all_lines_of_ours_are_kept() -> None:
    unrepeated = Unrepeated("aiokafka", 5.0)
    assert unrepeated.filter(said("aiokafka.client", "no node", 100.0))
    assert unrepeated.filter(said("aiokafka.client", "a node", 100.0))
    assert all(unrepeated.filter(said("services.ingest", "rejected", 100.0)) for _ in range(3))
