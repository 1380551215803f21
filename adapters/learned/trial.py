"""What is done with a model in the throwaway process."""

import json
from collections.abc import Iterable

import numpy as np

from adapters.learned.boosted import BoostedModel, booster_of
from adapters.learned.heads import Head, unpack
from adapters.learned.probe import probe_vectors
from adapters.learned.recovery import RecoveryModel
from adapters.learned.recovery_bytes import MAGIC as RECOVERY_MAGIC
from adapters.learned.recovery_bytes import unpack_recovery
from adapters.learned.recovery_probe import said_of_probe
from adapters.learned.trees import problem_of
from adapters.learned.trial_terms import Tried
from core.learning.features import FEATURES
from core.retrying.columns import COLUMNS


def tried(data: bytes) -> Tried:
    """Look through all trees of a packed model, and only then let it predict the probe of its kind."""
    try:
        said = _recovery(data) if data.startswith(RECOVERY_MAGIC) else _order(data)
    except ValueError as error:
        return Tried(str(error))
    if not np.isfinite((*said.log_run, *said.failed)).all():
        return Tried("it predicts what is no number")
    return said


def _order(data: bytes) -> Tried:
    heads = unpack(data)
    named = [("run", head) for head in heads.run] + [("failed", head) for head in heads.failed]
    named += [] if heads.run_high is None else [("run_high", heads.run_high)]
    _look_through(named, len(FEATURES))
    said = BoostedModel("", heads).predict(probe_vectors())
    return Tried(log_run=tuple(said.log_run.tolist()), failed=tuple(said.failed.tolist()))


def _recovery(data: bytes) -> Tried:
    parts = unpack_recovery(data)
    _look_through([("hazard", parts.head)], len(COLUMNS))
    said = said_of_probe(RecoveryModel("", *parts))
    return Tried(log_run=said.log_odds, failed=said.still_on)


def _look_through(named: Iterable[tuple[str, Head]], columns: int) -> None:
    """Ask that trees can be predicted with.

    Raises
    ------
    ValueError
        One cannot; says which.
    """
    for output, head in named:
        document = json.loads(bytes(booster_of(head).save_raw("json")))
        problem = problem_of(document, columns)
        if problem is not None:
            raise ValueError(f"the head {output!r}: {problem}")
