"""A scenario: a load, a fault, healing, and the questions whether everything ended and was right."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from tests.chaos.evidence import Clocks, Evidence, Overlaps, Violation
from tests.chaos.history import History, boot_s
from tests.chaos.load import Load, LoadRunner
from tests.chaos.rig.tools import Tool
from tests.chaos.spec import StackSpec
from tests.chaos.stack import Stack
from tests.chaos.watch import OffsetWatch

Claim = Callable[[Evidence], list[Violation]]


class FaultDidNotBiteError(Exception):
    """The fault had no effect, so the scenario shows nothing; it counts as failed."""


@dataclass
class Field:
    """What a fault may touch.

    Attributes
    ----------
    rng
        Seeded: every choice of the fault is drawn from it.
    """

    stack: Stack
    rng: random.Random
    history: History
    load: LoadRunner
    began_boot_s: float | None = None
    """Begin of the first fault."""
    healed_boot_s: float | None = None
    """End of the last fault."""
    watch: OffsetWatch | None = None
    """The watch over committed offsets, to be told when brokers are not to be believed."""

    def note(self, text: str) -> None:
        """Write into the history."""
        self.history.add("note", text)

    @contextmanager
    def fault(self, name: str, **detail: str | float) -> Iterator[None]:
        """Note a fault and, however the block ends, its healing; the block undoes what it did."""
        line = self.history.add("fault", name, **detail)
        if self.began_boot_s is None:
            self.began_boot_s = line.at_boot_s
        try:
            yield
        finally:
            self.healed_boot_s = self.history.add("heal", name, **detail).at_boot_s

    def unwatched(self) -> AbstractContextManager[None]:
        """Believe no broker about offsets for the length of the block."""
        return nullcontext() if self.watch is None else self.watch.looking_away()

    def go_on(self, seconds: float) -> None:
        """Let the load run on for a while; raises what ended it, if anything did."""
        until_s = boot_s() + seconds
        while (left_s := until_s - boot_s()) > 0:
            self.load.check()
            time.sleep(min(left_s, 0.25))


@dataclass(frozen=True)
class Scenario:
    """One fault and what must hold.

    Attributes
    ----------
    fault
        Its number in the matrix, or ``failpoint``.
    summary
        One sentence: what is done and what must hold.
    inject
        Does the fault, waits until it is real, heals; may raise ``FaultDidNotBiteError``.
    recovery_limit_s
        So long after healing every accepted job must have ended.
    clocks
        Which times may be compared, when the fault is about clocks.
    rewinds
        Groups (or ``stage_offsets``) whose offsets the fault itself sets back.
    subset
        Whether ``make test`` runs it.
    check
        What this scenario claims beyond the invariants.
    """

    name: str
    fault: str
    summary: str
    inject: Callable[[Field], None]
    stack: StackSpec = field(default_factory=StackSpec)
    load: Load = field(default_factory=Load)
    needs: frozenset[Tool] = frozenset()
    recovery_limit_s: float = 60.0
    overlaps: Overlaps = Overlaps.FORBIDDEN
    clocks: Clocks = Clocks.AGREE
    rewinds: frozenset[str] = frozenset()
    subset: bool = False
    check: Claim | None = None
