"""Settings of the materializer."""

from pydantic import Field

from adapters.runtime.settings import ServiceSettings
from penstock.connection import DatabaseConnection


class MaterializerSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the materializer."""

    database: DatabaseConnection = Field(default_factory=DatabaseConnection)
    materializer_batch_max: int = 5000
    """Most ledger records in one transaction; bounds memory (about 2 KiB a record) while Postgres is away."""
