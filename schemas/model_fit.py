"""Whether this version can ask a model, by what the model is for."""

from core.learning.features import FEATURES
from core.retrying.columns import COLUMNS
from schemas.models import ModelManifest, Purpose

_NAMES = {
    Purpose.ORDER: tuple(feature.name for feature in FEATURES),
    Purpose.RETRY: tuple(column.name for column in COLUMNS),
}
_SHOWN = 3


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
    return _difference(manifest.features, names_of(Purpose(manifest.purpose)))


def _difference(features: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    """Say how they differ from the names that are wanted; None: they do not."""
    if features == names:
        return None
    more, less = (
        [one for one in features if one not in names],
        [one for one in names if one not in features],
    )
    parts = [f"{verb} {_listed(some)}" for verb, some in (("has", more), ("lacks", less)) if some]
    return "it " + " and ".join(parts) if parts else "its features are in another order"


def _listed(names: list[str]) -> str:
    left = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {left} more" if left > 0 else "")
