"""The fold of one partition of ``jobs.outcomes``: a function of its records, wherever it restarts. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from core.learning.aggregates import KeyAggregates
from core.learning.events import Key, Keys
from core.learning.fold import FeatureFold
from core.learning.seconds import LAG_MS, SECOND_MS, OpenSeconds, Remembered, Taken
from schemas.outcomes import OutcomeBatch, Report, Subject, partition_of, reports_of, told_ms


class Memory(NamedTuple):
    """Besides the states of keys, all that a fold has to know to go on."""

    next_offset: int = 0
    end_ms: int = 0
    """Largest ``end_ms`` of the reports read."""
    first_open_s: int = 0
    remembered: tuple[Remembered, ...] = ()
    """Oldest first."""
    reports: Mapping[int, tuple[Report, ...]] = {}
    """What is still open, by the offset of the record that told it."""


class Step(NamedTuple):
    """What one record changed; the next memory is the last one with this done to it."""

    changed: set[Key]
    """Keys whose states are others."""
    closed: list[Remembered]
    reports: tuple[Report, ...]
    """What the record tells that was not known."""
    forgotten: list[tuple[int, int]]
    """Closed seconds that are not remembered any more, and how many dispatches had news in each."""
    settled: list[tuple[int, int]]
    """Offsets of records of whose reports nothing is open any more, and how many reports each told."""


class _OpenRecord(NamedTuple):
    """A record of whose reports something is open."""

    last_s: int
    """The last second of that."""
    reports: int


class PartitionFold:
    """What is known of the keys at home on one partition.

    Begun again from any memory, and from states that are as old or newer by less than a step, and given the
    records from there on, it ends as if it had never stopped: what is open is put into its seconds again, and
    a second that is in a state is not folded into it twice.

    Parameters
    ----------
    partitions
        ``RouteMap.learning_partitions``.
    states
        By key; changed from here on.
    """

    def __init__(
        self, partition: int, partitions: int, states: dict[Key, KeyAggregates], memory: Memory
    ) -> None:
        self.came: Counter[Taken] = Counter()
        """What became of the events that were taken."""
        self.next_offset = memory.next_offset
        self.end_ms = memory.end_ms
        self._partition = partition
        self._partitions = partitions
        self._seconds = OpenSeconds.restored(memory.first_open_s, memory.remembered)
        self._fold = FeatureFold(self._seconds, states)
        self._keys: dict[Subject, Keys] = {}
        self._open: dict[int, _OpenRecord] = {}
        """Records of which something is open, by offset."""
        for offset, reports in sorted(memory.reports.items()):
            self._put(offset, reports)

    @property
    def states(self) -> Mapping[Key, KeyAggregates]:
        """What is known, by key."""
        return self._fold.states

    @property
    def first_open_s(self) -> int:
        """The first second that is not closed."""
        return self._seconds.first_open_s

    def take(self, offset: int, batch: OutcomeBatch, appended_ms: int) -> Step:
        """Fold one report.

        First the time it brings closes seconds, then what it tells is put into those that are open. Nothing
        can have happened after it was appended: a reporter whose clock is ahead would close what others
        still fill.
        """
        end_ms = told_ms(batch, appended_ms)
        self.next_offset = offset + 1
        self.end_ms = max(end_ms, self.end_ms)
        before = {second: len(identities) for second, identities in self._seconds.remembered}
        changed = set(self._fold.close(self.end_ms - LAG_MS))
        after = {second for second, _ in self._seconds.remembered}
        closed = [one for one in self._seconds.remembered if one[0] not in before]
        settled = [
            (one, record.reports) for one, record in self._open.items() if record.last_s < self.first_open_s
        ]
        for one, _ in settled:
            del self._open[one]
        news = [
            Report(subject, event if event.at_ms <= end_ms else event._replace(at_ms=end_ms))
            for subject, event in reports_of(batch)
            if self._at_home(subject)
        ]
        unknown = tuple(report for report in news if not self._seconds.is_known(report.event))
        self.came[Taken.REPEATED] += len(news) - len(unknown)
        self._put(offset, unknown)
        forgotten = [(second, count) for second, count in sorted(before.items()) if second not in after]
        return Step(changed, closed, unknown, forgotten, settled)

    def _put(self, offset: int, reports: Sequence[Report]) -> None:
        last_s = -1
        for subject, event in reports:
            self.came[self._seconds.take(event, self._at_home(subject))] += 1
            last_s = max(last_s, event.at_ms // SECOND_MS, self.first_open_s)
        if last_s >= 0:
            self._open[offset] = _OpenRecord(last_s, len(reports))

    def _at_home(self, subject: Subject) -> Keys:
        keys = self._keys.get(subject)
        if keys is None:
            keys = tuple(
                key for key in subject.keys if partition_of(key, self._partitions) == self._partition
            )
            self._keys[subject] = keys
        return keys
