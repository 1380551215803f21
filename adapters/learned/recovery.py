"""Models of recoveries as they are asked: a history, and trees that correct it."""

from typing_extensions import override

from adapters.learned.heads import Head
from adapters.learned.retrying import LearnedHazards
from core.retrying.bins import Floats
from core.retrying.choice import Moment
from core.retrying.evidence import Evidence
from core.retrying.history import History
from core.retrying.recovery import Recovery


class RecoveryModel(Recovery):
    """One model; its bytes are in ``adapters/learned/recovery_bytes.py``.

    Parameters
    ----------
    history
        Kept, and asked as it stands at each moment.
    """

    def __init__(self, name: str, history: History, head: Head, evidence: Evidence | None = None) -> None:
        self._name = name
        self._history = history
        self._evidence = evidence or {}
        self._learned = LearnedHazards(head, history)

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def history(self) -> History:
        return self._history

    @property
    @override
    def evidence(self) -> Evidence:
        return self._evidence

    @override
    def hazards(self, moment: Moment) -> Floats:
        return self._learned.hazards(moment)
