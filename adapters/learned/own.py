"""A model of the user's own: any class with a name and ``predict``."""

from importlib import import_module
from typing import NamedTuple, Protocol

from core.learning.spread import Spread
from penstock.errors import PenstockError
from ports.models import Model
from schemas.models import Standing


class OwnModelError(PenstockError):
    """The class that was named cannot be used as a model; the message says why."""


class Registry(Protocol):
    """Models that were published (``ports.model_watch.ModelWatch``)."""

    @property
    def champion(self) -> Model | None:
        """The one that would order jobs."""
        ...

    @property
    def standing(self) -> Standing | None:
        """What was last said about who orders."""
        ...

    def law(self, pool: str) -> Spread | None:
        """Give the range of costs of a pool."""
        ...


class OwnModel(NamedTuple):
    """A model of the user's own in force; the champion of the registry predicts beside it, as its shadow.

    It is trusted as any other is: not before its order of run times has shown itself.
    """

    champion: Model
    registry: Registry

    @property
    def shadow(self) -> Model | None:
        """The champion of the registry."""
        return self.registry.champion

    @property
    def standing(self) -> Standing | None:
        """What was last said about who orders: the kill switch holds for this model too."""
        return self.registry.standing

    @property
    def failing(self) -> None:
        """Nobody has judged from where on it is nearly certain of failures."""

    def law(self, pool: str) -> Spread | None:
        """See ``ports.model_watch.ModelWatch.law``."""
        return self.registry.law(pool)


def own_model(path: str) -> Model:
    """Make the model that ``module:Class`` names; its module must be importable where the prioritizer runs.

    Raises
    ------
    OwnModelError
        There is no such class, it cannot be made without arguments, or it is no model.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name)()
    except Exception as error:
        raise OwnModelError(
            f"PENSTOCK_OWN_MODEL is {path!r}, which cannot be made ({type(error).__name__}: {error}): name a "
            "class as package.module:Class that needs no arguments and can be imported by the prioritizer"
        ) from error
    if not (isinstance(getattr(found, "name", None), str) and callable(getattr(found, "predict", None))):
        raise OwnModelError(
            f"PENSTOCK_OWN_MODEL is {path!r}, which is no model: it needs `name`, a text, and "
            "`predict(vectors)`, which gives `log_run` and `failed`, an array each"
        )
    model: Model = found
    return model
