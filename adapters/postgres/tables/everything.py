"""The metadata with all tables registered: what migrations and checks compare with."""

from adapters.postgres.tables.attempts import job_attempts
from adapters.postgres.tables.desk import desk_acts, desk_letters
from adapters.postgres.tables.jobs import jobs
from adapters.postgres.tables.logs import job_logs
from adapters.postgres.tables.metadata import METADATA
from adapters.postgres.tables.models import model_acts, models
from adapters.postgres.tables.retry_decisions import retry_decisions
from adapters.postgres.tables.schedules import schedules
from adapters.postgres.tables.scores import job_scores
from adapters.postgres.tables.signatures import signatures
from adapters.postgres.tables.stage_offsets import stage_offsets

TABLES = (
    *(jobs, job_attempts, job_logs, job_scores, models, model_acts, desk_acts, desk_letters),
    *(retry_decisions, schedules, signatures, stage_offsets),
)
ALL = METADATA
