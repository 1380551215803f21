"""Small trained models with their manifests, and ways to damage them."""

import struct
from functools import cache

import msgspec
import numpy as np

from adapters.learned.boosted import BoostedModel
from adapters.learned.heads import Head, Heads, pack
from adapters.learned.probe import probe_vectors
from adapters.learned.rows import Rows
from adapters.learned.training import Recipe, train
from core.learning.events import Status
from core.learning.features import COLUMN
from schemas.models import ModelManifest
from tests.support.models_under_test import a_manifest
from tests.support.vectors import unknown_vectors

RECIPE = Recipe(limit_ms=100_000, run_rounds=(8, 8), failed_rounds=(8,) * 4, run_high_rounds=3)


@cache
def small_heads(seed: int = 1) -> Heads:
    """Train on 600 jobs, of which some run longer and some fail, by their priority."""
    dice = np.random.default_rng(seed)
    jobs = 600
    vectors = unknown_vectors(jobs)
    priority = dice.choice([1, 5, 9], jobs)
    vectors[:, COLUMN["priority"]] = priority
    vectors[:, COLUMN["payload"]] = dice.random(jobs)
    decided = np.arange(jobs, dtype=np.int64) * 1000
    run = np.where(priority == 9, 3000, 1000) + dice.integers(0, 100, jobs)
    status = np.where(priority == 1, Status.FAILED, Status.OK).astype(np.int8)
    return train(Rows(vectors, decided, decided + 10, decided + 10 + run, run, status), 500_000, RECIPE)


def published(heads: Heads, minute: int = 0) -> tuple[ModelManifest, bytes]:
    """Give the bytes of a model, and a manifest that says what it predicts of the probe."""
    data = pack(heads)
    return probed(a_manifest(data, minute), heads), data


def probed(manifest: ModelManifest, heads: Heads) -> ModelManifest:
    said = BoostedModel("", heads).predict(probe_vectors())
    return msgspec.structs.replace(
        manifest, probe_log_run=tuple(said.log_run.tolist()), probe_failed=tuple(said.failed.tolist())
    )


def with_node(heads: Heads, column: str, value: int) -> Heads:
    """Set ``column`` (``left_children``, ``split_indices``) of the root of the largest tree for failures."""
    return heads._replace(failed=(with_node_of(heads.failed[0], column, value), *heads.failed[1:]))


def with_node_of(head: Head, column: str, value: int) -> Head:
    """Set ``column`` of the root of the largest tree of a head."""
    ubj = bytearray(head.ubj)
    at = max(_arrays(ubj, column), key=lambda found: found[1])[0]
    struct.pack_into(">i", ubj, at, value)
    return Head(bytes(ubj), head.rounds)


def _arrays(ubj: bytearray, column: str) -> list[tuple[int, int]]:
    """Give where the typed arrays of that name begin, and how long they are, as UBJSON has them."""
    found, key = [], column.encode() + b"[$l#L"
    at = ubj.find(key)
    while at >= 0:
        begin = at + len(key)
        found.append((begin + 8, struct.unpack_from(">q", ubj, begin)[0]))
        at = ubj.find(key, begin)
    return found
