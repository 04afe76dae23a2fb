"""p2p_map_config.conf and the environment -> typed settings.

`load(path, os.environ)` in a `__main__`, once; everyone else is handed a `Settings` or one of its groups.
"""

from libs.config.findings import ConfigError, Finding
from libs.config.groups import (
    Bridge,
    Eligible,
    Failover,
    General,
    HostRequirements,
    MapRules,
    Monitoring,
    Nats,
    Rebalance,
    Reference,
    Relay,
    Scoring,
    Security,
    Vps,
    Weights,
)
from libs.config.loading import FILE_NAME, SHIPPED, load
from libs.config.model import LOCAL, Settings

__all__ = [
    "FILE_NAME",
    "LOCAL",
    "SHIPPED",
    "Bridge",
    "ConfigError",
    "Eligible",
    "Failover",
    "Finding",
    "General",
    "HostRequirements",
    "MapRules",
    "Monitoring",
    "Nats",
    "Rebalance",
    "Reference",
    "Relay",
    "Scoring",
    "Security",
    "Settings",
    "Vps",
    "Weights",
    "load",
]
