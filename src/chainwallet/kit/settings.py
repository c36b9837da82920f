"""Settings: environment variables `CHAINWALLET_*`, each with a default that works on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may set. docs/settings.md explains each; a test keeps the two equal."""

    model_config = SettingsConfigDict(env_prefix="CHAINWALLET_", extra="ignore")

    data_dir: Path = Field(
        default=Path("data"), description="Folder of the embedded database, the managed chain and the key file."
    )
    database_url: str | None = Field(
        default=None, description="PostgreSQL URL; without it a server is embedded under the data folder."
    )
    chain_url: str = Field(
        default="anvil",
        description="`anvil` (managed child process), `embedded` (in process, throwaway) or a JSON-RPC URL.",
    )
    operator_key: SecretStr | None = Field(
        default=None,
        description="First operator's bearer key, with every scope; without it one is made in the data folder.",
    )
    key_encryption_key: SecretStr | None = Field(
        default=None,
        description="32 bytes in hex that wrap customers' keys; without it a key file is made in the data folder.",
    )
    deployments_dir: Path = Field(
        default=Path("deployments"), description="Folder of the deployment records of chains that are not managed here."
    )
    deployer_key: SecretStr | None = Field(
        default=None,
        description="Private key (hex) that deploys and settles on an external chain; managed chains make their own.",
    )
    otlp_url: str | None = Field(
        default=None,
        description="Where payments' traces go (OTLP over HTTP): http://localhost:4318/v1/traces; else none are made.",
    )
    trace_ratio: float = Field(default=0.01, ge=0, le=1, description="Part of all payments that is traced, 0 to 1.")
    rates_url: str | None = Field(
        default=None,
        description="Where the ECB's daily rates are fetched; without it those that ship are used, whatever their age.",
    )
    rates_age_max_days: int = Field(
        default=5, ge=1, le=30, description="Age of fetched rates, in days, at which quoting stops."
    )
    retention_days: int = Field(
        default=30, ge=1, le=3_650, description="How long idempotency keys and unused quotes are remembered, in days."
    )
    fee_bps: int = Field(
        default=10, ge=0, le=1_000, description="Service fee on each payment, in basis points of the source amount."
    )
    gain_customers_bps: int = Field(
        default=5_000,
        ge=0,
        le=10_000,
        description="Part of what netting saves that goes back to the payers of the batch, in basis points.",
    )
    gain_makers_bps: int = Field(
        default=2_000,
        ge=0,
        le=10_000,
        description="Part of what netting saves that goes to the makers filled in the batch, in basis points; "
        "what is left of 10,000 is the treasury's.",
    )
    gain_min_minor_units: int = Field(
        default=1,
        ge=0,
        le=1_000_000,
        description="Least share of a gain that is paid out, in minor units (cents) of its currency; 0: every 1e-6.",
    )
    cost_bps_max: int = Field(
        default=1_000,
        ge=1,
        le=10_000,
        description="Most that a payment may lose against mid, fee and spread together, in basis points, to be quoted.",
    )
    quote_ttl_s: int = Field(default=60, ge=1, le=3_600, description="How long a customer's quote is firm, in seconds.")
    settle_margin_s: int = Field(
        default=600,
        ge=30,
        le=86_400,
        description="How long after its quote expires an accepted order may still settle, in seconds.",
    )
    confirmations: int = Field(
        default=1, ge=1, le=256, description="Blocks, the including one counted, after which a payment is settled."
    )
    batch_max: int = Field(default=250, ge=1, le=500, description="Most payments in one settlement transaction.")
    batch_linger_ms: int = Field(
        default=150,
        ge=0,
        le=60_000,
        description="How long a batch that is not full waits for more payments, in milliseconds.",
    )
    transactions_ahead_max: int = Field(
        default=16,
        ge=1,
        description="Most settlements, and most groups of deposits, that are on their way and not mined yet; "
        "what comes meanwhile shares the next.",
    )
    gas_price_max_gwei: int = Field(
        default=500, ge=1, description="Highest fee per gas that a settlement transaction may offer, in gwei."
    )
    reserves_every_s: int = Field(
        default=0,
        ge=0,
        description="How often what is owed is stated and anchored on chain, in seconds; 0: only when told to.",
    )
    webhooks_to_loopback: bool = Field(
        default=False, description="Let webhooks be sent to this machine itself: for development only."
    )
    log_level: str = Field(default="info", description="debug, info, warning or error.")

    @model_validator(mode="after")
    def _share_no_more_than_the_gain(self) -> Self:
        if self.gain_customers_bps + self.gain_makers_bps > 10_000:
            raise ValueError("gain_customers_bps and gain_makers_bps are together at most 10,000")
        return self
