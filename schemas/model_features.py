"""Whether a model was trained on the features that this version computes."""

from core.learning.features import FEATURES

NAMES = tuple(feature.name for feature in FEATURES)
_SHOWN = 3


def misfit(features: tuple[str, ...]) -> str | None:
    """Say how the features of a model differ from those of this version; None: they do not."""
    if features == NAMES:
        return None
    more, less = (
        [one for one in features if one not in NAMES],
        [one for one in NAMES if one not in features],
    )
    parts = [f"{verb} {_listed(names)}" for verb, names in (("has", more), ("lacks", less)) if names]
    return "it " + " and ".join(parts) if parts else "its features are in another order"


def _listed(names: list[str]) -> str:
    left = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {left} more" if left > 0 else "")
