"""Settings that every service has."""

import socket

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from adapters.kafka.group import SESSION_TIMEOUT_S
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
    session_timeout_s: float = Field(default=SESSION_TIMEOUT_S, ge=1.0)
    """Silence after which the broker gives a member's partitions to others; brokers allow 6 s and more."""
    stop_timeout_s: float = Field(default=10.0, gt=0.0)
    """How long a service that was told to stop waits for the broker to take what is under way. What it
    did not take is done again by whoever owns the partition next."""
    clock_check_s: float = Field(default=60.0, gt=0.0)
    """How often the wall clock is compared with the broker's."""
    kafka: KafkaConnection = Field(default_factory=KafkaConnection)
    names: PipelineNames = Field(default_factory=PipelineNames)

    @property
    def stop_limit_s(self) -> float:
        """Seconds from the word to stop until the service gives up what is under way."""
        return self.stop_timeout_s

    @property
    def gather_s(self) -> float:
        """Seconds that records may wait for each other which come soon after others; 0: none waits."""
        return 0.0

    def instance_of(self, service: str) -> str:
        """Give the instance name, by default service and host."""
        return self.instance or f"{service}-{socket.gethostname()}"
