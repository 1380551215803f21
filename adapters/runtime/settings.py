"""Settings that every service has."""

import socket

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from penstock.connection import KafkaConnection, PipelineNames


class ServiceSettings(BaseSettings):
    """``PENSTOCK_*`` settings common to all services; read once, in ``__main__``."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", frozen=True, extra="ignore")

    instance: str = ""
    """Stable name of this process in its group; two running ones must not share it."""
    metrics_port: int = 0
    """Port of /metrics, /healthz, /readyz; 0 takes any free one."""
    metrics_host: str = "127.0.0.1"
    log_level: str = "INFO"
    failpoints: str = ""
    """Faults to commit at named places, for tests of crashes (``docs/failpoints.md``); empty: none."""
    kafka: KafkaConnection = Field(default_factory=KafkaConnection)
    names: PipelineNames = Field(default_factory=PipelineNames)

    def instance_of(self, service: str) -> str:
        """Give the instance name, by default service and host."""
        return self.instance or f"{service}-{socket.gethostname()}"
