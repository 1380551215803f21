"""A model of recoveries: a history that goes on, what was learned beyond it, and what arms have cost."""

from typing import Protocol

from core.retrying.bins import Floats
from core.retrying.choice import Moment
from core.retrying.evidence import Evidence
from core.retrying.history import History


class Recovery(Protocol):
    """What a service that times retries asks of a model."""

    @property
    def name(self) -> str:
        """Id of the model."""
        ...

    @property
    def history(self) -> History:
        """What it has seen. Whoever holds the model adds to it what is seen from then on."""
        ...

    @property
    def evidence(self) -> Evidence:
        """What arms had cost when it was made; empty: it does not tell."""
        ...

    def hazards(self, moment: Moment) -> Floats:
        """Give the hazard of each bin of age, (n_bins,): history's, corrected where there are features."""
        ...
