"""Made-up histories of dispatches, for tests of what is learned."""

from typing import NamedTuple

from hypothesis import strategies as st

from core.learning.events import Ended, Event, Keys, Status, Submitted, keys_of

T0_MS = 1_700_000_000_000


class Happened(NamedTuple):
    """An event and the keys it belongs to."""

    event: Event
    keys: Keys


@st.composite
def histories(draw: st.DrawFn, jobs_max: int = 12, span_ms: int = 9_000) -> list[Happened]:
    """Events of some jobs of few tenants and types within a few seconds, in order of time."""
    found: list[Happened] = []
    for number in range(draw(st.integers(1, jobs_max))):
        keys = keys_of(*(draw(st.sampled_from(letters)) for letters in ("ab", "xyz", ["", "n"])))
        ready_ms = T0_MS + draw(st.integers(0, span_ms))
        found.append(Happened(Submitted(ready_ms, str(number), 1, draw(st.integers(0, 5000))), keys))
        if draw(st.booleans()):
            run_ms = draw(st.integers(0, span_ms))
            waited_ms = draw(st.integers(0, 500))
            end_ms = ready_ms + waited_ms + run_ms
            status = draw(st.sampled_from(Status))
            found.append(Happened(Ended(end_ms, str(number), 1, run_ms, status, ready_ms), keys))
    return sorted(found, key=lambda happened: happened.event.at_ms)
