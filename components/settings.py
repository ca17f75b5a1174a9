"""Where and as whom we run: environment variables with the prefix SHOP_, and nothing else."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One field per variable: SHOP_HOME, SHOP_API_KEY, ..."""

    model_config = SettingsConfigDict(env_prefix="SHOP_", extra="ignore")

    home: Path = Field(Path("shop"), description="Releases, live pointers and feedback of this shop.")
    data: Path = Field(Path("data"), description="Everything the graph produces; DVC tracks it.")
    project: Path = Field(Path(), description="Where relative paths under `sources` in params.yaml start.")
    clock: Path | None = Field(None, description="A file with an ISO instant that stands for now; for replays.")
    feedback_url: SecretStr | None = Field(None, description="PostgreSQL for feedback; default: SQLite in SHOP_HOME.")
    api_key: SecretStr | None = Field(None, description="When set, every request must carry it.")
    handover_webhook: SecretStr | None = Field(None, description="URL that is told of messages for a person.")
    handover_secret: SecretStr | None = Field(None, description="Signs what the webhook is told; whsec_ and base64.")
    rephrase_url: SecretStr | None = Field(None, description="OpenAI-compatible API that may rephrase replies.")
    rephrase_model: str | None = Field(None, description="The model that rephrases.")
    rephrase_key: SecretStr | None = Field(None, description="Its API key, where it needs one.")
    rephrase_seconds: float = Field(2.0, gt=0, le=20, description="Longest wait for it; then the reply stays as is.")
    workers: int = Field(1, ge=1, description="Processes that serve; they share the release's arrays.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_json: bool = Field(False, description="One JSON object per line instead of text.")
    precision: str = Field("32-true", description="Lightning's precision: 32-true, 16-mixed, bf16-mixed.")
    accelerator: str = Field("auto", description="Lightning's accelerator: auto, cpu, gpu.")
    devices: str = Field("auto", description="Lightning's devices: auto, or a number.")
    strategy: str = Field("auto", description="Lightning's strategy: auto, ddp, ...")
    memory_gib: float | None = Field(None, description="Ceiling for one model; default: three quarters of all.")


def settings() -> Settings:
    """Read anew on each call: tests and workers change the environment."""
    return Settings()
