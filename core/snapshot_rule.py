"""When the state of a fold is written down."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SnapshotRule:
    """When a partition gets its next snapshot: after so many records or so long, not sooner than that."""

    every_records: int
    every_s: float
    not_before_s: float

    def is_due(self, records: int, elapsed_s: float) -> bool:
        """Say so, given the records and the time since the last one."""
        if records <= 0 or elapsed_s < self.not_before_s:
            return False
        return records >= self.every_records or elapsed_s >= self.every_s
