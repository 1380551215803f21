"""Settings of summaries by a model."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SummarySettings(BaseSettings):
    """``PENSTOCK_LLM_*``: an OpenAI-compatible server; without address, key or model none is asked."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_LLM_", frozen=True, extra="ignore")

    base_url: str = ""
    """Such as ``https://api.openai.com/v1``; ``/chat/completions`` is added."""
    api_key: SecretStr = SecretStr("")
    model: str = ""
    timeout_s: float = Field(default=10.0, gt=0, le=300)
    """For one answer, with all that it takes; then, and for the rest of the command, none is waited for."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what is not set."""
        values = {
            "BASE_URL": self.base_url,
            "API_KEY": self.api_key.get_secret_value(),
            "MODEL": self.model,
        }
        return tuple(f"PENSTOCK_LLM_{name}" for name, value in values.items() if not value)
