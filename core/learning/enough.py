"""When there is enough to train a model, and enough that no model has seen."""

from typing import NamedTuple


class Counts(NamedTuple):
    """What could be learned from."""

    ends: int
    failures: int
    new_ends: int
    """Of what was scored after the newest model was made; all, where there is none."""


class Enough(NamedTuple):
    """What there must be."""

    ends: int
    failures: int
    """And as many that did not fail: one kind of end teaches nothing."""
    new_ends: int
    """Fewer would make the same model again."""


def missing(counts: Counts, enough: Enough, *, has_model: bool) -> str:
    """Say what is missing to train; empty when nothing is."""
    if counts.ends < enough.ends or counts.failures < enough.failures:
        return (
            f"{counts.ends} ends with {counts.failures} failures can be learned from; "
            f"{enough.ends} and {enough.failures} are needed"
        )
    if (fine := counts.ends - counts.failures) < enough.failures:
        return f"{fine} of {counts.ends} ends are no failures; {enough.failures} are needed"
    if has_model and counts.new_ends < enough.new_ends:
        return (
            f"{counts.new_ends} jobs were scored and ended since the newest model was made; "
            f"{enough.new_ends} are needed"
        )
    return ""
