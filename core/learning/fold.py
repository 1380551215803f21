"""From events to features: the fold a stream and a replay share."""

from array import array
from collections.abc import Iterator

from core.learning.aggregates import KeyAggregates, advance
from core.learning.events import Event, Key, Keys
from core.learning.features import JobFacts, features
from core.learning.seconds import LAG_MS, OpenSeconds, Taken


class FeatureFold:
    """Keeps the aggregates of every key; deterministic in events, their order within a watermark aside.

    Parameters
    ----------
    states
        By key; changed from here on. They may hold seconds that ``seconds`` is still to close: none is folded
        into a state twice.
    """

    def __init__(
        self, seconds: OpenSeconds | None = None, states: dict[Key, KeyAggregates] | None = None
    ) -> None:
        self.states: dict[Key, KeyAggregates] = {} if states is None else states
        self._seconds = OpenSeconds() if seconds is None else seconds

    def take(self, event: Event, keys: Keys) -> Taken:
        """Take in an event; it is seen once its second is closed."""
        return self._seconds.take(event, keys)

    def close(self, watermark_ms: int) -> Iterator[Key]:
        """Fold every second that ended by the watermark; give each key as it changes."""
        for second, happened in self._seconds.close(watermark_ms):
            for key, of_key in happened.items():
                state = self.states.get(key)
                if state is None:
                    state = self.states[key] = KeyAggregates()
                if second > state.at_s:
                    advance(state, second, of_key)
                    yield key

    def decide(self, keys: Keys, job: JobFacts, t_ms: int) -> "array[float]":
        """Compute the features of a decision at ``t_ms`` from what was closed by then, the lag allowed for.

        For replays, where nothing is late: decisions come in rising order of time, each after all events
        before it.
        """
        for _ in self.close(t_ms - LAG_MS):
            pass
        get = self.states.get
        return features([get(key) for key in keys], job, t_ms)
