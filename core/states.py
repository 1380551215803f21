"""The states of a job, and how far along its path each one is."""

from enum import StrEnum


class State(StrEnum):
    """A job's state, as the table shows it."""

    ACCEPTED = "accepted"
    WAITING = "waiting"
    HELD = "held"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    REFUSED = "refused"


TERMINAL = frozenset(
    {State.SUCCEEDED, State.DEAD, State.CANCELLED, State.EXPIRED, State.SKIPPED, State.REFUSED}
)

_STAGE = {
    State.ACCEPTED: 0,
    State.WAITING: 1,
    State.QUEUED: 2,
    State.RUNNING: 3,
    State.RETRYING: 4,
    State.HELD: 5,
}
_TERMINAL_STAGE = 9
_STAGES_PER_DISPATCH = 16


def progress_rank(state: State, dispatch: int) -> int:
    """Order states along every legal path: a later state of a job has the larger rank.

    Notes arrive late and repeatedly; a state replaces another only with a strictly larger rank,
    so neither duplication nor delay of a note can move a row back. Verdicts that hold always
    climb (a property test walks the fold), a redrive climbs because its dispatch is larger.
    """
    return dispatch * _STAGES_PER_DISPATCH + _STAGE.get(state, _TERMINAL_STAGE)
