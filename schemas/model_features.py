"""Whether a model was trained on the features that this version computes."""

from core.learning.features import FEATURES

NAMES = tuple(feature.name for feature in FEATURES)
_SHOWN = 3


def misfit(features: tuple[str, ...]) -> str | None:
    """Say how the features of a model that orders jobs differ from this version's; None: they do not."""
    return difference(features, NAMES)


def difference(features: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    """Say how the features of a model differ from the names that are wanted; None: they do not."""
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
