"""Rows to train on in real tables, and what a trainer has published."""

import asyncio
import time

import numpy as np
import psycopg

from core.learning.features import COLUMN, FINGERPRINT
from schemas.model_book import ModelBook
from schemas.models import Purpose
from tests.support.pipeline import Pipeline
from tests.support.vectors import unknown_vectors

KEY = "a key that nobody knows"
ROWS = 2_000


def models(mine: Pipeline, purpose: Purpose = Purpose.ORDER) -> tuple[ModelBook, dict[str, bytes]]:
    """Read all that stands in ``models`` for a purpose, with the bytes."""

    async def look() -> tuple[ModelBook, dict[str, bytes]]:
        async with mine.shelf(purpose) as shelf:
            book = await shelf.look()
            return book, {one.id: await shelf.bytes_of(one) for one in book.manifests.values()}

    return asyncio.run(look())


def fill(database_url: str) -> None:
    """Put jobs into the tables whose priority says how long they run and whether they fail."""
    dice = np.random.default_rng(1)
    vectors = unknown_vectors(ROWS)
    priority = dice.choice([1, 5, 9], ROWS)
    vectors[:, COLUMN["priority"]] = priority
    run_s = np.where(priority == 9, 30.0, 1.0) * dice.lognormal(0, 0.2, ROWS)
    failed = dice.random(ROWS) < np.where(priority == 1, 0.8, 0.02)
    begin_s = time.time() - 2 * ROWS
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY jobs (job_id, tenant, type, pool, state, state_rank, dispatch, finished_at) FROM STDIN"
        ) as copy:
            for row in range(ROWS):
                state = "dead" if failed[row] else "succeeded"
                copy.write_row(
                    (_id(row), f"tenant{row % 40}", "t", "default", state, 1, 1, _at(begin_s + row))
                )
        with cursor.copy(
            "COPY job_attempts (job_id, n, claimed_at, started_at, finished_at, outcome, run_s) FROM STDIN"
        ) as copy:
            for row in range(ROWS):
                at_s = begin_s + row
                times = (_at(at_s), _at(at_s), _at(at_s + run_s[row]))
                copy.write_row(
                    (_id(row), 1, *times, "failed" if failed[row] else "succeeded", run_s[row].item())
                )
        with cursor.copy(
            "COPY job_scores (job_id, n, decided_at, model, features, vector) FROM STDIN"
        ) as copy:
            for row in range(ROWS):
                vector = vectors[row].tobytes()
                copy.write_row((_id(row), 1, _at(begin_s + row), "rule", FINGERPRINT, vector))


def _id(row: int) -> str:
    return f"00000000-0000-0000-0000-{row:012d}"


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + "+00"
