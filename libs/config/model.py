"""The whole configuration. In: the groups (groups.py). Out: `Settings`, built by load, or from a recorded `config.applied` by
Settings.from_public.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from libs.config.fields import ADDRESS_ALLOWED, Address, RegionName
from libs.config.groups import (
    Bridge,
    Failover,
    General,
    HostRequirements,
    MapRules,
    Monitoring,
    Nats,
    Rebalance,
    Registry,
    Relay,
    Scoring,
    Security,
    Vps,
    Weights,
)

HASH_DIGITS = 16  # 64 bits: no two configurations of one realm ever meet
REGIONS_MAX = 64
LOCAL = ("nats", "bridge", "registry", "relay")
"""Groups of this machine: they concern no decision and may hold secrets, so they are in no config.applied and no finding."""


class Settings(BaseSettings):
    """The whole configuration, immutable. Build it with load(); the plain constructor checks types and ranges only."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    general: General = General()
    host_requirements: HostRequirements = HostRequirements()
    scoring: Scoring = Scoring()
    maps: MapRules = MapRules()
    failover: Failover = Failover()
    rebalance: Rebalance = Rebalance()
    monitoring: Monitoring = Monitoring()
    security: Security = Security()
    regions: Mapping[RegionName, Address] = Field(
        default={},
        max_length=REGIONS_MAX,
        description=f"at most {REGIONS_MAX} regions, name = {ADDRESS_ALLOWED}; a name is 1 to 32 of A-Z a-z 0-9 _ @ -",
    )
    vps: Vps = Vps()
    nats: Nats = Nats()
    bridge: Bridge = Bridge()
    registry: Registry = Registry()
    relay: Relay = Relay()

    @classmethod
    def settings_customise_sources(cls, *_cls: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """The arguments alone: load() merges file and environment itself, as it must know where each value is from."""
        return (sources["init_settings"],)

    def effective_weights(self) -> Weights:
        """The weights to score with: with prefer_low_latency off, latency is 0 and the others are scaled to sum 1."""
        given = self.scoring.weights
        if self.general.prefer_low_latency:
            return given
        rest = given.cpu + given.ram + given.network + given.stability
        assert rest > 0, "load() refuses such weights"
        return Weights(
            cpu=given.cpu / rest,
            ram=given.ram / rest,
            network=given.network / rest,
            latency=0.0,
            stability=given.stability / rest,
        )

    def public(self) -> dict[str, Any]:
        """All but LOCAL, as plain JSON-able values: the body of config.applied."""
        return self.model_dump(mode="json", exclude=set(LOCAL))

    def hash(self) -> str:
        """16 lower-case hex digits of public(). The order of keys and of lists does not count, as it has no effect."""
        text = json.dumps(_unordered(self.public()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]

    @classmethod
    def from_public(cls, public: Mapping[str, Any]) -> Self:
        """The inverse of public(). Unknown keys are ignored, missing ones take the defaults, nothing else is read.

        Raises: ConfigError, when a value is not allowed.
        """
        from libs.config.build import from_public

        return from_public(cls, public)


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unordered(item) for key, item in value.items()}
    return sorted(value) if isinstance(value, list) else value
