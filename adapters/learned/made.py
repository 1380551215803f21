"""What every maker of models says of one."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from adapters.learned.training import NothingToLearnError
from ports.training import Found, Order
from schemas.model_fit import names_of
from schemas.models import FailingPoint, ModelManifest, chunked, model_id, sha256_of

Say = Callable[[str], None]


class Made(NamedTuple):
    """A model."""

    manifest: ModelManifest
    data: bytes


class Trained(NamedTuple):
    """What a model was trained on, and how it was judged.

    Attributes
    ----------
    begin_ms, cut_ms, rows
        As in a manifest.
    measures
        By model, then by measure; ``challenger`` names the model itself.
    probe
        What it predicts of its probe, as a manifest carries it.
    """

    kind: str
    begin_ms: int
    cut_ms: int
    rows: int
    challenger: str
    measures: Mapping[str, Mapping[str, float]]
    judged: str
    probe: tuple[tuple[float, ...], tuple[float, ...]]
    failing: FailingPoint | None = None


def made_of(order: Order, data: bytes, trained: Trained) -> Made:
    """Give a model with its manifest, which is not signed yet."""
    digest = sha256_of(data)
    measures = {name: finite(of) for name, of in trained.measures.items()}
    log_run, failed = trained.probe
    manifest = ModelManifest(
        id=model_id(order.now_ms, digest),
        kind=trained.kind,
        sha256=digest,
        size_bytes=len(data),
        chunks=len(chunked(data)),
        features=names_of(order.purpose),
        created_ms=order.now_ms,
        by=order.by,
        code_version=order.code_version,
        begin_ms=trained.begin_ms,
        cut_ms=trained.cut_ms,
        rows=trained.rows,
        metrics=measures.pop(trained.challenger, {}),
        beside=measures,
        purpose=order.purpose.value,
        judged=trained.judged,
        parent="" if order.champion is None else order.champion.id,
        probe_log_run=log_run,
        probe_failed=failed,
        failing=trained.failing,
    )
    return Made(manifest, data)


def found_with(found: Found, make: Callable[[], Made]) -> tuple[Found, bytes]:
    """Give what was found, with a model unless something is waited for or there is nothing to learn."""
    if found.waits_for:
        return found, b""
    try:
        made = make()
    except NothingToLearnError as error:
        return msgspec.structs.replace(found, waits_for=str(error)), b""
    return msgspec.structs.replace(found, model=made.manifest), made.data


def finite(measures: Mapping[str, float]) -> dict[str, float]:
    """Leave out what cannot be measured: JSON has no NaN."""
    return {name: float(value) for name, value in measures.items() if np.isfinite(value)}
