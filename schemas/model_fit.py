"""Whether this version can ask a model, by what the model is for."""

from core.retrying.columns import COLUMNS
from schemas.model_features import NAMES, difference
from schemas.models import ModelManifest, Purpose

_NAMES = {Purpose.ORDER: NAMES, Purpose.RETRY: tuple(column.name for column in COLUMNS)}


def names_of(purpose: Purpose) -> tuple[str, ...]:
    """Give the names of what models of a purpose are asked with, in the order of their columns."""
    return _NAMES[purpose]


def misfit_of(manifest: ModelManifest) -> str | None:
    """Say how a model's features differ from those that this version computes for its purpose.

    None: they do not.

    Raises
    ------
    ValueError
        This version does not know its purpose; no such manifest is read from the topic.
    """
    return difference(manifest.features, names_of(Purpose(manifest.purpose)))
