"""Settings of the trainer."""

from pydantic import Field

from adapters.learned.settings import ModelTrust
from adapters.runtime.settings import ServiceSettings
from core.retrying.explore import Chooser
from penstock.connection import DatabaseConnection
from ports.training import Kind


class TrainerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the trainer."""

    database: DatabaseConnection = Field(default_factory=DatabaseConnection)
    model: ModelTrust = Field(default_factory=ModelTrust)
    trainer_every_s: float = Field(default=86_400.0, ge=0.0)
    """A model is made this long after the last one, at the earliest: what is gained by a day is small."""
    trainer_check_s: float = Field(default=600.0, ge=0.1)
    """How often it looks whether it is time, whether the champion has drifted, and what pools cost."""
    trainer_first_ends: int = Field(default=2_000, ge=2)
    """Ends there must be before a model is made..."""
    trainer_first_failures: int = Field(default=20, ge=1)
    """...and failures among them, and as many that did not fail."""
    trainer_new_ends: int = Field(default=2_000, ge=0)
    """Ends there must be of jobs scored after the newest model was made: fewer make the same again. Four
    times those a champion is proven by (``core.learning.trust``), or few jobs would be ordered by one."""
    retry_policy: Chooser = Chooser.RULE
    """As for the dlq_handler: models that time retries are made where it is ``learned``."""
    trainer_retry_first_ends: int = Field(default=1_000, ge=2)
    """Decisions to retry whose job must have ended before a model of recoveries is made..."""
    trainer_retry_first_recovered: int = Field(default=100, ge=1)
    """...and those among them whose job recovered."""
    trainer_retry_new_ends: int = Field(default=1_000, ge=0)
    """Such decisions there must be since the newest model of recoveries was made."""
    trainer_retry_rows_max: int = Field(default=50_000, ge=100)
    """Newest decisions about failures that are learned from; some 15 kB of memory each while training, for
    each is looked at in every stretch of ages ahead of it."""
    trainer_rows_max: int = Field(default=300_000, ge=100)
    """Newest decisions that are learned from; 600 bytes of memory each, and as much again while training."""
    trainer_kind: Kind = Kind.BOOSTED
    """Boosted trees, or one tree a head: worse, and small enough to be read."""
    trainer_promote: bool = True
    """Whether a model that may be promoted is; else people do it (`penstock models promote`)."""
    trainer_memory_mb: int = Field(default=3_072, ge=256)
    """Address space of the process that trains; it maps about half a gigabyte more than it uses."""
    trainer_limit_s: float = Field(default=3_600.0, ge=1.0)
    """Training that takes longer than this is ended."""
    trainer_nice: int = Field(default=15, ge=0, le=19)
    """How far the process that trains stands back behind others; 19 is farthest."""
