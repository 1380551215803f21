"""XGBoost models as bytes, and how they predict.

Bytes are UBJSON, never pickles; whoever loads them checks first where they come from (a damaged tree
can crash the process that predicts with it).
"""

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from typing_extensions import override

from adapters.learned.heads import Head, Heads, Hedge
from core.learning.features import COLUMN, FEATURES
from ports.models import Column, Contributions, ExplainingModel, Predictions, Vectors, checked

LEAST_P = np.float32(1e-6)
"""Probabilities stay so far from 0 and 1."""


def booster_of(head: Head) -> xgb.Booster:
    """Load a booster that predicts with one thread.

    Raises
    ------
    ValueError
        The bytes are no booster.
    """
    booster = xgb.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(head.ubj))
    except xgb.core.XGBoostError as error:
        raise ValueError(f"not a booster: {str(error).splitlines()[0]}") from error
    return booster


def gains_of(heads: Heads) -> NDArray[np.float64]:
    """Give what each column brought to a model, (n_features,): shares of the gain of all splits, added up."""
    found = np.zeros(len(FEATURES))
    for head in (*heads.run, *heads.failed):
        gains = np.zeros(len(FEATURES))
        for name, gain in booster_of(head).get_score(importance_type="total_gain").items():
            # Trained without names: column 7 is called f7.
            gains[int(name.removeprefix("f"))] = gain if isinstance(gain, float) else sum(gain)
        if gains.sum() > 0:
            found += gains / gains.sum()
    return found


class BoostedModel(ExplainingModel):
    """Run time as a correction of the running mean, and probability of failing."""

    def __init__(self, name: str, heads: Heads) -> None:
        self._name = name
        self._run = [booster_of(head) for head in heads.run]
        self._failed = [booster_of(head) for head in heads.failed]
        self._hedge = heads.hedge
        self._run_high = None if heads.run_high is None else booster_of(heads.run_high)

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def predict(self, vectors: Vectors) -> Predictions:
        vectors = checked(vectors, len(FEATURES))
        expected = np.ascontiguousarray(vectors[:, COLUMN["expected_run"]])
        return Predictions(
            log_run=_mean([_predict(one, vectors, expected) for one in self._run]),
            failed=_hedged(
                _mean([_predict(one, vectors, None) for one in self._failed]), vectors, self._hedge
            ),
            log_run_high=None if self._run_high is None else _predict(self._run_high, vectors, expected),
        )

    @override
    def contributions(self, vectors: Vectors) -> Contributions:
        vectors = checked(vectors, len(FEATURES))
        expected = np.ascontiguousarray(vectors[:, COLUMN["expected_run"]])
        run = [_contributions(one, vectors, expected) for one in self._run]
        failed = [_contributions(one, vectors, None) for one in self._failed]
        return Contributions(_mean(run), _mean(failed))


def _contributions(booster: xgb.Booster, vectors: Vectors, base_margin: Column | None) -> Column:
    data = xgb.DMatrix(vectors, base_margin=base_margin, nthread=1)
    # The last column is what is expected of all.
    found: Column = np.asarray(booster.predict(data, pred_contribs=True), dtype=np.float32)[:, :-1]
    return found


def _hedged(failed: Column, vectors: Vectors, hedge: Hedge) -> Column:
    recent, ever = np.float32(hedge.recent), np.float32(hedge.ever)
    odds = (1 - recent - ever) * _log_odds(failed)
    odds += recent * _log_odds(vectors[:, COLUMN["expected_failed"]])
    odds += ever * _log_odds(vectors[:, COLUMN["ever_failed"]])
    hedged: Column = np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)
    return hedged


def _log_odds(p: Column) -> Column:
    kept = np.clip(p, LEAST_P, 1 - LEAST_P)
    found: Column = np.log(kept / (1 - kept))
    return found


def _mean(columns: list[Column]) -> Column:
    found: Column = np.mean(columns, axis=0, dtype=np.float32)
    return found


def _predict(booster: xgb.Booster, vectors: Vectors, base_margin: Column | None) -> Column:
    found = booster.inplace_predict(vectors, base_margin=base_margin, validate_features=False)
    return np.asarray(found, dtype=np.float32)
