"""The settings the domain asks for, as small protocols; libs.config's groups satisfy them. Units last in the names.

Keys and their meaning: conf/p2p_map_config.conf.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol


class GeneralRules(Protocol):
    enable_p2p_maps: bool
    enable_auto_migration: bool
    enable_vps_fallback: bool
    enable_p2p_security_checks: bool


class RequirementRules(Protocol):
    """net_min_speed in Mbit/s, net_max_latency in ms."""

    cpu_min_ghz: float
    cpu_min_cores: int
    ram_min_mb: int
    net_min_speed: float
    net_max_latency: float
    max_disconnects_per_hour: int
    max_jitter_ms: float
    min_packet_rate: float
    slots_per_core: float
    slot_ram_mb: int
    slots_max: int


class WeightRules(Protocol):
    cpu: float
    ram: float
    network: float
    latency: float
    stability: float


class ReferenceRules(Protocol):
    cpu_ghz_cores: float
    ram_mb: float
    net_mbps: float


class ScoringRules(Protocol):
    @property
    def reference(self) -> ReferenceRules: ...

    load_weight: float


class MapListRules(Protocol):
    @property
    def eligible_patterns(self) -> Sequence[str]: ...
    @property
    def never(self) -> Sequence[str]: ...


class FailoverRules(Protocol):
    backup_hosts_count: int
    warm_backups: int
    refill_interval_s: float


class RebalanceRules(Protocol):
    threshold: float
    min_dwell_s: float
    cool_down_s: float
    max_moves_per_minute: int
    idle_after_s: float


class SecurityRules(Protocol):
    trust_min: float


class Rules(Protocol):
    """What deciders need of the settings. hash: names these settings in every decision (config.applied)."""

    @property
    def general(self) -> GeneralRules: ...
    @property
    def host_requirements(self) -> RequirementRules: ...
    @property
    def scoring(self) -> ScoringRules: ...
    @property
    def maps(self) -> MapListRules: ...
    @property
    def failover(self) -> FailoverRules: ...
    @property
    def rebalance(self) -> RebalanceRules: ...
    @property
    def security(self) -> SecurityRules: ...
    @property
    def regions(self) -> Mapping[str, str]: ...
    def effective_weights(self) -> WeightRules: ...
    def hash(self) -> str: ...
