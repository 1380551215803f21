"""What stands in ``jobs.held`` and was not handed on: a pure fold over one partition of it.

A record there either is a held job, named by what it is held for, or says that everything held for
something below an offset was handed on. Because such a record stands behind all it speaks of, the fold
needs no beginning: begun anywhere at or below the oldest job still held, it finds the same jobs.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

GAP = 64
"""Offsets of other things between two held jobs that are read once more rather than remembered."""
STRETCHES_MAX = 1024
"""Of one subject and partition; neighbours are joined above it. An image stays far below a record's limit
for hundreds of subjects, and what is read for nothing is at most the log between."""


class Stretch(NamedTuple):
    """A range of offsets in which jobs are held for one subject; perhaps with others between them."""

    first: int
    """At or below the first job that is still held."""
    last: int
    """The last one itself."""
    jobs: int
    """How many, at least 1. Exact unless two schedulers handed the same ones on at once."""


class HeldFold:
    """Which jobs of one partition of ``jobs.held`` are still to be handed on, by what they are held for.

    Memory does not grow with the jobs held, but with how scattered they are, up to ``STRETCHES_MAX``.
    """

    def __init__(self) -> None:
        self.next_offset = 0
        """Offset of the first record not folded yet."""
        self._stretches: dict[str, list[Stretch]] = {}

    def held(self, offset: int, held_for: str) -> None:
        """Fold a held job."""
        if not self._advance(offset):
            return
        stretches = self._stretches.setdefault(held_for, [])
        if stretches and offset - stretches[-1].last <= GAP:
            first, _, jobs = stretches[-1]
            stretches[-1] = Stretch(first, offset, jobs + 1)
            return
        stretches.append(Stretch(offset, offset, 1))
        if len(stretches) > STRETCHES_MAX:
            self._stretches[held_for] = _joined(stretches)

    def handed_on(self, offset: int, held_for: str, until: int, count: int) -> None:
        """Fold the word that all ``count`` jobs held for this below ``until`` were handed on."""
        if not self._advance(offset):
            return
        self._remove(held_for, min(until, offset), count)

    def skip(self, offset: int) -> None:
        """Fold a record that says nothing of this."""
        self._advance(offset)

    def _advance(self, offset: int) -> bool:
        if offset < self.next_offset:
            return False
        self.next_offset = offset + 1
        return True

    def _remove(self, held_for: str, until: int, count: int) -> None:
        left: list[Stretch] = []
        for stretch in self._stretches.pop(held_for, []):
            if stretch.last < until:
                count -= stretch.jobs
            elif stretch.first < until:
                left.append(Stretch(until, stretch.last, max(1, stretch.jobs - max(0, count))))
            else:
                left.append(stretch)
        if left:
            self._stretches[held_for] = left

    @property
    def subjects(self) -> list[str]:
        """What anything is held for."""
        return list(self._stretches)

    def counts(self) -> dict[str, int]:
        """Give how many jobs are held, by what for."""
        return {held_for: sum(one.jobs for one in found) for held_for, found in self._stretches.items()}

    def next_of(self, held_for: str, position: int) -> Stretch | None:
        """Give what is left of the first stretch that reaches to ``position`` or beyond."""
        for stretch in self._stretches.get(held_for, ()):
            if stretch.last >= position:
                return stretch._replace(first=max(stretch.first, position))
        return None

    @property
    def oldest(self) -> int:
        """Everything below may go: the first job still held, or where the fold has come to."""
        firsts = (stretches[0].first for stretches in self._stretches.values())
        return min(firsts, default=self.next_offset)

    def image(self) -> dict[str, list[Stretch]]:
        """Give all there is to know besides ``next_offset``."""
        return {held_for: list(stretches) for held_for, stretches in self._stretches.items()}

    @classmethod
    def restored(
        cls, image: Mapping[str, Iterable[tuple[int, int, int]]], next_offset: int, log_start: int
    ) -> "HeldFold":
        """Go on from an image of any age, of a log that now begins at ``log_start``."""
        fold = cls()
        fold.next_offset = max(next_offset, log_start)
        fold._stretches = {
            held_for: [Stretch(*fields) for fields in stretches] for held_for, stretches in image.items()
        }
        for held_for in list(fold._stretches):
            fold._remove(held_for, log_start, 0)
        return fold


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    """Join every two neighbours; the last stretch stays as it is when it has none."""
    pairs = [stretches[place : place + 2] for place in range(0, len(stretches), 2)]
    return [Stretch(pair[0].first, pair[-1].last, sum(one.jobs for one in pair)) for pair in pairs]
