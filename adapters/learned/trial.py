"""What is done with a model in the throwaway process."""

import json

import numpy as np

from adapters.learned.boosted import BoostedModel, booster_of
from adapters.learned.heads import unpack
from adapters.learned.probe import probe_vectors
from adapters.learned.trees import problem_of
from adapters.learned.trial_terms import Tried
from core.learning.features import FEATURES


def tried(data: bytes) -> Tried:
    """Look through all trees of a packed model, and only then let it predict the probe."""
    try:
        heads = unpack(data)
        named = [("run", head) for head in heads.run] + [("failed", head) for head in heads.failed]
        named += [] if heads.run_high is None else [("run_high", heads.run_high)]
        for output, head in named:
            document = json.loads(bytes(booster_of(head).save_raw("json")))
            problem = problem_of(document, len(FEATURES))
            if problem is not None:
                return Tried(f"the head {output!r}: {problem}")
        said = BoostedModel("", heads).predict(probe_vectors())
    except ValueError as error:
        return Tried(str(error))
    if not (np.isfinite(said.log_run).all() and np.isfinite(said.failed).all()):
        return Tried("it predicts what is no number")
    return Tried(log_run=tuple(said.log_run.tolist()), failed=tuple(said.failed.tolist()))
