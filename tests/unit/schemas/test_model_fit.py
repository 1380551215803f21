"""Whether this version can ask a model depends on what the model is for."""

import msgspec
import pytest

from schemas.model_fit import misfit_of, names_of
from schemas.models import Purpose
from tests.support.models_under_test import a_manifest


@pytest.mark.parametrize("purpose", Purpose)
def test_a_model_fits_with_the_columns_of_its_own_purpose_in_their_order_alone(purpose: Purpose) -> None:
    names = names_of(purpose)
    manifest = a_manifest(b"x", features=names, purpose=purpose)
    assert misfit_of(manifest) is None
    lacking = msgspec.structs.replace(manifest, features=names[:-1])
    assert misfit_of(lacking) == f"it lacks {names[-1]}"
    turned = msgspec.structs.replace(manifest, features=names[::-1])
    assert misfit_of(turned) == "its features are in another order"
    other = next(one for one in Purpose if one is not purpose)
    assert misfit_of(msgspec.structs.replace(manifest, purpose=other.value)) is not None
