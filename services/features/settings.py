"""Settings of the feature fold."""

from pydantic import Field

from adapters.runtime.settings import ServiceSettings


class FeaturesSettings(ServiceSettings):
    """``PENSTOCK_*`` settings of the feature fold."""

    features_publish_s: float = Field(default=1.0, ge=0.1)
    """No key is published more often than this."""
