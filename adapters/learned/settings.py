"""Settings of whoever publishes models or uses them."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KEY_CHARS_MIN = 16
"""A key that can be guessed signs nothing."""


class ModelTrust(BaseSettings):
    """``PENSTOCK_MODEL_*``: whose models are used."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_MODEL_", frozen=True, extra="ignore")

    key: SecretStr | None = Field(default=None, min_length=KEY_CHARS_MIN)
    """Signs manifests, and only models with a signature by it are used. Without one the digest alone counts,
    so whoever can write to ``models`` can publish one. The same for trainer, prioritizers and people."""

    @field_validator("key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        """Take a setting that is there and empty, as Compose passes it on, for none."""
        return value or None

    @property
    def key_bytes(self) -> bytes | None:
        """The key as signatures take it; never log it."""
        return None if self.key is None else self.key.get_secret_value().encode()
