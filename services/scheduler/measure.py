"""Measure what the scheduler hands over."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from core.log import NewRecord, Record
from core.wheel import leaves_at_ms
from ports.meter import Meter, Metric


class Measures:
    """Counts hops, lateness, batches and lag."""

    def __init__(self, meter: Meter, now_ms: Callable[[], int], tier_of: Mapping[str, int]) -> None:
        self._meter = meter
        self._now_ms = now_ms
        self._tier_of = tier_of

    def admitted(self, records: Sequence[Record]) -> None:
        """Note a batch read from ``jobs.gates``."""
        if records:
            self._meter.observe(Metric.BATCH, len(records), stage="gates")
            self._lag(records[-1].topic, records[-1].timestamp_ms)

    def followed(self, records: Sequence[Record]) -> None:
        """Note a batch read from the ledger and the logs of gates."""
        if records:
            self._meter.observe(Metric.BATCH, len(records), stage="gate_logs")
            for topic, timestamp_ms in {record.topic: record.timestamp_ms for record in records}.items():
                self._lag(topic, timestamp_ms)

    def departed(self, records: Sequence[Record], lateness_ms: Iterable[int]) -> None:
        """Note what left its tier, and how late others were let go.

        The lag of a tier counts from when its record could leave.
        """
        for late_ms in lateness_ms:
            self._meter.observe(Metric.WHEEL_LATENESS, late_ms / 1000)
        if not records:
            return
        self._meter.observe(Metric.BATCH, len(records), stage="wheel")
        newest = {record.topic: record.timestamp_ms for record in records}
        for topic, timestamp_ms in newest.items():
            self._lag(topic, leaves_at_ms(self._tier_of[topic], timestamp_ms))

    def appended(self, outputs: Iterable[NewRecord]) -> None:
        """Count what went into the wheel, by tier."""
        for topic, count in Counter(output.topic for output in outputs).items():
            if topic in self._tier_of:
                self._meter.count(Metric.DELAYED, count, tier=str(self._tier_of[topic]))

    def _lag(self, topic: str, since_ms: int) -> None:
        self._meter.gauge(Metric.LAG_SECONDS, max(0.0, (self._now_ms() - since_ms) / 1000), topic=topic)
