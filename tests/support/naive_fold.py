"""An oracle for the ledger fold: the table of verdicts read literally, from the whole history.

It remembers nothing but which verdicts held, asks every question by searching that list again, and
shares no code with ``core.ledger.fold``. Slow, and short enough to check by eye.
"""

from dataclasses import dataclass, field
from typing import assert_never

from core.ledger.verdicts import (
    Action,
    Cancel,
    Claimed,
    Decided,
    Expired,
    Failed,
    Lost,
    Preempted,
    Redriven,
    Refused,
    Released,
    Skipped,
    Succeeded,
    Verdict,
)
from core.states import State


@dataclass
class NaiveJob:
    """The verdicts about one job that held, oldest first."""

    held: list[Verdict] = field(default_factory=list)

    def take(self, verdict: Verdict) -> bool:
        """Append the verdict to the history if it holds."""
        if not self.holds(verdict):
            return False
        self.held.append(verdict)
        return True

    def holds(self, verdict: Verdict) -> bool:
        """Whether the verdict holds after the history so far."""
        match verdict:
            case Claimed():
                return self._claimable(verdict.n)
            case Succeeded():
                return self._closes(verdict) or self._is_late_success(verdict)
            case Failed() | Lost() | Released():
                return self._closes(verdict)
            case Preempted():
                return self._claimable(verdict.n)
            case Decided():
                return self._decides(verdict)
            case Cancel():
                return self.state not in _ENDED
            case Expired() | Skipped() | Refused():
                return not self.held
            case Redriven():
                ended_badly = self.state in _ENDED - {State.SUCCEEDED}
                return ended_badly and verdict.n == self._last_dispatch + 1
            case _:
                assert_never(verdict)

    @property
    def state(self) -> State:
        """The state after the last verdict that held."""
        if not self.held:
            return State.ACCEPTED
        last = self.held[-1]
        match last:
            case Failed() | Lost() | Released():
                return State.CANCELLED if self._was_cancelled else State.RETRYING
            case Decided():
                return _AFTER_DECISION[last.action]
            case Cancel():
                return State.RUNNING if self._open_claim is not None else State.CANCELLED
            case _:
                return _AFTER[type(last)]

    def _claimable(self, n: int) -> bool:
        if self.state in _ENDED or self._touched(n) or n != self._last_dispatch:
            return False
        return n == 1 or any(_allows(v, n) for v in self.held)

    def _touched(self, n: int) -> bool:
        return any(isinstance(v, Claimed | Preempted) and v.n == n for v in self.held)

    def _closes(self, closure: Succeeded | Failed | Lost | Released) -> bool:
        claim = self._open_claim
        return claim is not None and (claim.n, claim.executor) == (closure.n, closure.executor)

    def _is_late_success(self, success: Succeeded) -> bool:
        if self.state in _ENDED or not self._claims:
            return False
        claim = self._claims[-1]
        given_up = any(isinstance(v, Lost | Released) and v.n == success.n for v in self.held)
        since = self.held[self.held.index(claim) :]
        overtaken = any(isinstance(v, Preempted | Redriven) for v in since)
        return given_up and not overtaken and (claim.n, claim.executor) == (success.n, success.executor)

    def _decides(self, decision: Decided) -> bool:
        if self.state in _ENDED or self._last_dispatch != decision.n or self._open_claim is not None:
            return False
        if not self._touched(decision.n):
            return False
        before = [v.action for v in self.held if isinstance(v, Decided) and v.n == decision.n]
        if not before:
            return True
        return before == [Action.HOLD] and decision.action is not Action.HOLD

    @property
    def _claims(self) -> list[Claimed]:
        return [v for v in self.held if isinstance(v, Claimed)]

    @property
    def _open_claim(self) -> Claimed | None:
        """The claim nothing has closed yet; nothing but a closure ends a claim."""
        open_claim = None
        for verdict in self.held:
            match verdict:
                case Claimed():
                    open_claim = verdict
                case Succeeded() | Failed() | Lost() | Released():
                    open_claim = None
                case _:
                    pass
        return open_claim

    @property
    def _was_cancelled(self) -> bool:
        """A cancel came since the latest claim."""
        for verdict in reversed(self.held):
            if isinstance(verdict, Claimed):
                return False
            if isinstance(verdict, Cancel):
                return True
        return False

    @property
    def _last_dispatch(self) -> int:
        """The dispatch the job has reached: claimed, pre-empted, or allowed but not started."""
        reached = [1]
        for verdict in self.held:
            match verdict:
                case Claimed() | Preempted() | Redriven():
                    reached.append(verdict.n)
                case Decided(action=Action.RETRY):
                    reached.append(verdict.n + 1)
                case _:
                    pass
        return reached[-1]


_ENDED = {
    State.SUCCEEDED,
    State.DEAD,
    State.CANCELLED,
    State.EXPIRED,
    State.SKIPPED,
    State.REFUSED,
}
_AFTER = {
    Claimed: State.RUNNING,
    Succeeded: State.SUCCEEDED,
    Preempted: State.HELD,
    Expired: State.EXPIRED,
    Skipped: State.SKIPPED,
    Refused: State.REFUSED,
    Redriven: State.RETRYING,
}
_AFTER_DECISION = {Action.RETRY: State.RETRYING, Action.HOLD: State.HELD, Action.DEAD: State.DEAD}


def _allows(verdict: Verdict, n: int) -> bool:
    if isinstance(verdict, Redriven):
        return verdict.n == n
    return isinstance(verdict, Decided) and verdict.action is Action.RETRY and verdict.n == n - 1
