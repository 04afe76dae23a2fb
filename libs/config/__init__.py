"""p2p_map_config.conf and the environment -> typed settings.

`load(path, os.environ)` in a `__main__`, once; everyone else is handed a `Settings` or one of its groups. Each name's room is
imported when it is asked for: an agent asks for `ConfigError` alone, and pydantic is 12 MB of a player's memory.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_ROOMS = {
    **dict.fromkeys(("ConfigError", "Finding"), "findings"),
    **dict.fromkeys(("FILE_NAME", "SHIPPED", "load"), "loading"),
    **dict.fromkeys(("LOCAL", "Settings"), "model"),
}
"""Of what is not in groups."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_ROOMS.get(name, 'groups')}"), name)
    return found
