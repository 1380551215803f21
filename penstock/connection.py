"""How to reach Kafka and Postgres: settings from the environment, for clients and services alike."""

import ssl
from typing import Any, Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class KafkaConnection(BaseSettings):
    """``PENSTOCK_KAFKA_*``: addresses and credentials of the Kafka cluster."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_KAFKA_", frozen=True, extra="ignore")

    bootstrap: str = "127.0.0.1:9092"
    """``host:port`` of one or more brokers, separated by commas."""
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def client_options(self) -> dict[str, Any]:
        """Give the keyword arguments every aiokafka client takes.

        Raises
        ------
        OSError, ssl.SSLError
            A certificate file cannot be read; a person must mend the setting.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol in ("SSL", "SASL_SSL"):
            context = ssl.create_default_context(cafile=self.ssl_cafile)
            if self.ssl_certfile:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
            options["ssl_context"] = context
        if self.security_protocol.startswith("SASL"):
            password = self.sasl_password.get_secret_value() if self.sasl_password else None
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": password,
            }
        return options


class DatabaseConnection(BaseSettings):
    """``PENSTOCK_DATABASE_URL``: the Postgres database that holds the state table."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_DATABASE_", frozen=True, extra="ignore")

    url: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/postgres")
    """``postgresql://user:password@host:port/database``."""

    @property
    def conninfo(self) -> str:
        """The address as psycopg takes it; holds the password, so never log it."""
        return self.url.get_secret_value()


class PipelineNames(BaseSettings):
    """What names and shapes the topics of one pipeline: the same for everyone who touches it."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_", frozen=True, extra="ignore")

    topic_prefix: str = ""
    partitions: int = 4
    replication: int = 1
    pools: str = "default"
    """Execution pools, separated by commas."""

    @property
    def pool_names(self) -> tuple[str, ...]:
        """The pools as a tuple."""
        return tuple(name.strip() for name in self.pools.split(",") if name.strip())
