"""The janitor of the walk: a turn of the real rules, in steps between which anything may happen."""

from dataclasses import dataclass

from core.log import TopicPartition
from core.retention import Hold, mark_of, open_holds, reader_holds
from tests.model.executor import ROUTES
from tests.model.handler import ModelHandler
from tests.model.laws import Trim
from tests.model.process import Group, Log

PLACES = [TopicPartition(topic, 0) for topic in ROUTES.executions("default")]
READER = ROUTES.group("executor.default")


@dataclass
class _Turn:
    handler: ModelHandler
    """Whose fold is asked; with its process the turn ends."""
    committed: dict[str, int]
    end: int
    holds: dict[TopicPartition, Hold] | None = None
    reached: int = 0


class Janitor:
    """Trims the execution topics, as ``services.dlq_handler.trim`` does; by turns of either handler."""

    def __init__(self, log: Log, groups: dict[str, Group], rule: Trim) -> None:
        self._log = log
        self._groups = groups
        self._rule = rule
        self._turn: _Turn | None = None

    def step(self, handler: ModelHandler) -> None:
        """Go on with the turn of this handler, or begin one."""
        if handler.is_paused:
            return
        turn = self._turn
        if turn is None or turn.handler is not handler:
            self._turn = turn = _Turn(handler, self._committed(), self._log.end(ROUTES.ledger))
            if self._rule is Trim.FOLD_FIRST:
                self._ask_the_fold(turn)
        elif turn.holds is None:
            if handler.folds.next_offset(0) >= turn.end:
                self._ask_the_fold(turn)
        elif self._rule is Trim.UNSETTLED or self._settled() >= turn.reached:
            self._turn = None
            self._trim(turn, turn.holds)

    def _committed(self) -> dict[str, int]:
        return dict(self._groups["executor"].committed)

    def _settled(self) -> int:
        return self._groups["handler"].committed.get(ROUTES.ledger, 0)

    def _ask_the_fold(self, turn: _Turn) -> None:
        folds = turn.handler.folds
        turn.holds = open_holds(folds.fold(0).open.values(), 0, ROUTES.dlq)
        turn.reached = folds.next_offset(0)

    def _trim(self, turn: _Turn, settled: dict[TopicPartition, Hold]) -> None:
        committed = self._committed() if self._rule is Trim.FOLD_FIRST else turn.committed
        known = {READER: {TopicPartition(topic, 0): offset for topic, offset in committed.items()}}
        for place in PLACES:
            holds = reader_holds(place, [READER], known)
            if self._rule is not Trim.COMMITTED_ALONE and place in settled:
                holds.append(settled[place])
            self._log.trim(place.topic, mark_of(self._log.end(place.topic), holds).offset)
