"""Settings of ingest."""

from adapters.runtime.settings import ServiceSettings
from schemas.topics import RECORD_MAX_BYTES


class IngestSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of ingest."""

    record_max_bytes: int = RECORD_MAX_BYTES
    """Largest record taken in: key, value and headers; internal topics take four times that."""
