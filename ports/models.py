"""Models of what a job will cost: what a scorer asks of one, whoever made it."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""(n_jobs, n_features), columns in the order of ``core.learning.features.FEATURES``."""
Column = NDArray[np.float32]
"""(n_jobs,)."""


class Predictions(NamedTuple):
    """What a model expects of each job of a batch."""

    log_run: Column
    """Natural log of 1 + run time in ms: the scale on which jobs are ordered."""
    failed: Column
    """Probability of failing, in [0, 1], of one dispatch."""
    log_run_high: Column | None = None
    """The same as ``log_run`` for the 90th percentile of the run time; None without such a head."""


class Model(Protocol):
    """Predicts from feature vectors alone, so that what is logged explains every prediction.

    One call a batch. A model keeps no state between calls; whoever calls bounds what its predictions can do.
    """

    @property
    def name(self) -> str:
        """Name and version as they stand in every decision."""
        ...

    def predict(self, vectors: Vectors) -> Predictions:
        """Predict a batch; never changes ``vectors``.

        Raises
        ------
        ValueError
            The vectors have another number of columns: they were made for another table of features.
        """
        ...


class Contributions(NamedTuple):
    """What each feature adds to what is predicted, (n_jobs, n_features) each."""

    run: Vectors
    """To ``log_run``."""
    failed: Vectors
    """To the log odds of ``failed``, before they are drawn towards any rate."""


@runtime_checkable
class ExplainingModel(Model, Protocol):
    """A model that says why."""

    def contributions(self, vectors: Vectors) -> Contributions:
        """Say what each feature adds to the predictions, as TreeSHAP counts it (Lundberg et al., 2018).

        Costs a thousand times what a prediction does: for one job that somebody asks about.
        """
        ...


def checked(vectors: Vectors, columns: int) -> Vectors:
    """Give the vectors back when they have that many columns."""
    if vectors.ndim != 2 or vectors.shape[1] != columns:
        raise ValueError(
            f"vectors of shape {vectors.shape} for a model of {columns} features: "
            "train it again with this version's features"
        )
    return vectors
