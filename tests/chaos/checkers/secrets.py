"""I14: what a producer called sensitive stands nowhere people look."""

from collections.abc import Iterator

from tests.chaos.evidence import Evidence, Violation


def secrets_stay_secret(evidence: Evidence) -> Iterator[Violation]:
    """Ask that no planted secret was found in an event, a letter's words, a row, a log or a metric."""
    for place in evidence.leaks:
        yield Violation("I14", "a planted secret can be read", place)
