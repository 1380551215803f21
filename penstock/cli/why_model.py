"""Looks up what a queued job was scored by, and what each feature added to the predictions."""

import math
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from adapters.learned.canary import Canary
from core.feature import Feature
from core.learning.features import FEATURES, FINGERPRINT
from penstock.cli.connect import Connections
from penstock.cli.models import ModelError, open_shelf, read_book
from penstock.cli.queries import Database
from ports.model_watch import RefusedModelError
from ports.models import ExplainingModel
from schemas.models import BrokenModelError

SHOWN = 5
"""Features that add most to a prediction."""
LEAST = 0.01
"""What adds less than so much to a logarithm is left out."""
_SCORE = """
SELECT features, vector, model, candidate, log_run, failed FROM job_scores
WHERE job_id = %(job_id)s ORDER BY n DESC LIMIT 1
"""


class Reason(NamedTuple):
    """One feature, its value, and what it adds to the logarithm of what is predicted."""

    feature: Feature
    value: float
    adds: float


class Scored(NamedTuple):
    """What a dispatch was scored by."""

    vector: "array[float]"
    model: str
    """Whose expectation orders it."""
    candidate: str | None
    """The model the predictions are of, trusted or not."""
    log_run: float | None
    failed: float | None


class Reasons(NamedTuple):
    """Why a model predicted what it did."""

    run: list[Reason]
    failed: list[Reason]


async def scored_of(database: Database, job_id: str) -> Scored | None:
    """Give what the newest dispatch was scored by; None: that was not logged, or by another version."""
    row = await (await database.execute(_SCORE, {"job_id": job_id})).fetchone()
    if row is None or row["features"] != FINGERPRINT:
        return None
    vector = array("f")
    vector.frombytes(bytes(row["vector"]))
    return Scored(vector, row["model"], row["candidate"], row["log_run"], row["failed"])


async def reasons_of(where: Connections, scored: Scored) -> Reasons | None:
    """Ask the model itself; None: there was none, or its bytes are not kept any more."""
    manifest = (await read_book(where)).manifests.get(scored.candidate or "")
    if manifest is None:
        return None
    try:
        async with open_shelf(where) as (_, shelf):
            data = await shelf.bytes_of(manifest)
        model = await Canary(where.model_key).try_out(manifest, data)
    except (RefusedModelError, BrokenModelError) as error:
        raise ModelError(str(error)) from error
    if not isinstance(model, ExplainingModel):
        return None
    said = model.contributions(np.frombuffer(scored.vector.tobytes(), dtype=np.float32)[np.newaxis, :])
    return Reasons(
        most_of(scored.vector, said.run[0].tolist()), most_of(scored.vector, said.failed[0].tolist())
    )


def most_of(vector: Sequence[float], adds: Sequence[float]) -> list[Reason]:
    """Give the features that add most, largest first."""
    places = sorted(range(len(FEATURES)), key=lambda place: -abs(adds[place]))
    return [
        Reason(FEATURES[place], vector[place], adds[place])
        for place in places[:SHOWN]
        if abs(adds[place]) >= LEAST and not math.isnan(adds[place])
    ]


def as_json(scored: Scored, reasons: Reasons | None) -> dict[str, Any]:
    """Give what programs get."""
    return {
        "candidate": scored.candidate,
        "log_run": scored.log_run,
        "failed": scored.failed,
        "features": {
            feature.name: None if math.isnan(value) else value
            for feature, value in zip(FEATURES, scored.vector, strict=True)
        },
        "reasons": None
        if reasons is None
        else {
            name: [{"feature": one.feature.name, "value": one.value, "adds": one.adds} for one in found]
            for name, found in reasons._asdict().items()
        },
    }
