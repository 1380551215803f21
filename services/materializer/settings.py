"""Settings of the materializer."""

from pydantic import Field
from typing_extensions import override

from adapters.runtime.settings import ServiceSettings
from penstock.connection import DatabaseConnection


class MaterializerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the materializer."""

    database: DatabaseConnection = Field(default_factory=DatabaseConnection)
    materializer_batch_max: int = 5000
    """Most ledger records in one transaction; bounds memory (about 2 KiB a record) while Postgres is away."""
    materializer_gather_s: float = Field(default=0.02, ge=0.0, le=1.0)
    """Ledger records that come within so long of the last ones share a transaction with them: rows are that
    much later at most, and a job that goes through meanwhile is written once instead of four times."""

    @property
    @override
    def gather_s(self) -> float:
        return self.materializer_gather_s
