"""The version of rows grows with what they say."""

import hashlib

from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.jobs import jobs
from adapters.postgres.tables.logs import job_logs
from adapters.postgres.tables.retry_decisions import retry_decisions
from adapters.postgres.tables.scores import job_scores
from core.rows import ROWS_VERSION

COLUMNS = {1: "880d4f001e25b1b7"}
"""Of each version; a new column needs a new version here and in ``core.rows``."""


def test_a_new_column_comes_with_a_new_version_of_rows() -> None:
    names = [
        f"{table.name}.{column.name}"
        for table in (jobs, job_attempts, job_logs, job_scores, retry_decisions)
        for column in table.columns
    ]
    assert hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16] == COLUMNS[ROWS_VERSION]
