"""What a model expects of a job, and the parts of a score, in words."""

import math
from array import array

from core.learning.features import COLUMN, FEATURES
from penstock.cli.why_known import Known
from penstock.cli.why_model import Reasons, Scored, most_of
from penstock.cli.why_words import explain
from tests.unit.penstock.cli.test_why import NOW, queued


def scored(model: str = "m7", candidate: str | None = "m7") -> Scored:
    vector = array("f", [feature.default for feature in FEATURES])
    vector[COLUMN["tenant.failed_1h"]] = 0.3
    return Scored(vector, model, candidate, 8.0, 0.125)


def test_what_a_model_expects_is_said_with_its_strongest_reasons() -> None:
    adds = [0.0] * len(FEATURES)
    adds[COLUMN["tenant.failed_1h"]], adds[COLUMN["type.gap"]] = math.log(1.5), -math.log(2)
    known = Known(queued(model_version="m7", p_fail=0.125), [], NOW, scored=scored())
    known.reasons = Reasons(most_of(known.scored.vector, adds) if known.scored else [], [])
    (part,) = [part for part in explain(known).parts if part.title == "model m7"]
    assert part.lines == [
        "expects 3.0s, and that it fails with 12.5%; it orders it",
        "  0.50 x as long: type.gap is not known",
        "  1.50 x as long: tenant.failed_1h is 0.3 share",
    ]


def test_a_model_on_trial_is_said_to_be_watched() -> None:
    known = Known(queued(model_version="ewma"), [], NOW, scored=scored("ewma"))
    said = [line for part in explain(known).parts for line in part.lines]
    assert any("is watched, and does not order it yet" in line for line in said)
    assert any("by the running mean of its like" in line for line in said)
    plain = Known(queued(), [], NOW, scored=scored("ewma", None))
    assert not any(part.title.startswith("model") for part in explain(plain).parts)


def test_every_part_of_a_score_is_explained() -> None:
    parts = {"cost": 900.0, "urgency": 0.0, "risk": -30.0, "share": -300.0, "last_call": 5000.0}
    known = Known(queued(score_parts=parts, p_fail=0.2, model_version="m7"), [], NOW)
    (part,) = [part for part in explain(known).parts if part.title.startswith("score")]
    text = "\n".join(part.lines)
    assert "it fails with 20.0%" in text
    assert "tenant acme has had more than an equal share" in text
    assert "would miss the deadline" in text
    assert "a part of model" not in text


def test_only_what_adds_enough_is_a_reason() -> None:
    vector = array("f", [0.0] * len(FEATURES))
    adds = [0.001] * len(FEATURES)
    assert most_of(vector, adds) == []
    adds[3], adds[9] = -0.5, 0.25
    assert [reason.feature for reason in most_of(vector, adds)] == [FEATURES[3], FEATURES[9]]
