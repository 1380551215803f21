"""The legal paths of a job: which state a verdict that holds may put in place of which."""

from collections.abc import Mapping
from types import MappingProxyType

from core.states import TERMINAL, State

LEGAL: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.ACCEPTED: frozenset({State.RUNNING, State.HELD}) | TERMINAL - {State.SUCCEEDED, State.DEAD},
        State.RUNNING: frozenset({State.SUCCEEDED, State.RETRYING, State.CANCELLED}),
        State.RETRYING: frozenset(
            {State.RUNNING, State.RETRYING, State.HELD, State.DEAD, State.SUCCEEDED, State.CANCELLED}
        ),
        State.HELD: frozenset({State.HELD, State.RETRYING, State.DEAD, State.SUCCEEDED, State.CANCELLED}),
        **dict.fromkeys(TERMINAL - {State.SUCCEEDED}, frozenset({State.RETRYING})),
        State.SUCCEEDED: frozenset(),
    }
)
"""States that notes alone set (waiting, queued) are no part of it: a note decides nothing."""
