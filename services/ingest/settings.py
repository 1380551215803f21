"""Settings of ingest."""

from pydantic import Field

from adapters.runtime.settings import ServiceSettings
from schemas.topics import RECORD_MAX_BYTES


class IngestSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of ingest."""

    record_max_bytes: int = Field(default=RECORD_MAX_BYTES, ge=1024, le=2 * RECORD_MAX_BYTES)
    """Largest record taken in: key, value and headers. A failed attempt carries it together with its
    error and last log lines, and no internal record may be larger than 1 MiB."""
