"""A model of the user's own."""

from typing import cast

import numpy as np
import pytest

from adapters.learned.own import OwnModel, OwnModelError, Registry, own_model
from adapters.learned.plain import ConstantModel, EwmaModel
from core.learning.features import FEATURES
from core.learning.spread import Spread
from tests.support.models_under_test import a_standing


class Published:
    """A registry with a champion."""

    champion = EwmaModel()
    standing = a_standing("m", enabled=False)

    def law(self, pool: str) -> Spread | None:
        return Spread(1.0, 64.0) if pool == "default" else None


def test_a_class_that_is_named_becomes_champion_beside_the_published_one() -> None:
    model = own_model("adapters.learned.plain:ConstantModel")
    assert isinstance(model, ConstantModel)
    in_force = OwnModel(model, cast("Registry", Published()))
    assert in_force.champion is model
    assert in_force.shadow is Published.champion
    assert in_force.standing is Published.standing
    assert (in_force.law("default"), in_force.law("other")) == (Spread(1.0, 64.0), None)
    assert len(model.predict(np.zeros((3, len(FEATURES)), np.float32)).log_run) == 3


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("no_such_module:Model", "ModuleNotFoundError"),
        ("adapters.learned.plain:Nobody", "Nobody"),
        ("adapters.learned.plain", "package.module:Class"),
        ("adapters.learned.boosted:BoostedModel", "needs no arguments"),
        ("collections:OrderedDict", "is no model"),
    ],
)
def test_what_is_no_model_is_refused_with_the_remedy(path: str, said: str) -> None:
    with pytest.raises(OwnModelError, match=said):
        own_model(path)
