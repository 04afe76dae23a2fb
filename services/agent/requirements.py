"""What a host must have, in a player's words, and what to do about each. Pure. Called by diagnosis and score."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Requirement:
    """name: in host_requirements. value: the field of Measured, None for what only the server counts. todo: for whom it is
    not met."""

    name: str
    what: str
    unit: str
    value: str | None
    todo: str


REQUIREMENTS: Final = (
    Requirement("cpu_min_ghz", "processor's clock", "GHz", "cpu_ghz", "end what runs beside, leave power saving off"),
    Requirement("cpu_min_cores", "processor's cores", "", "cpu_cores", "a machine with more cores"),
    Requirement("ram_min_mb", "free memory", "MB", "free_ram_mb", "end other programs, or add memory"),
    Requirement("net_min_speed", "network speed", "Mbit/s", "net_mbps", "use a cable, pause downloads; or a faster line"),
    Requirement("net_max_latency", "latency", "ms", "latency_ms", "use a cable; far away from the server it stays high"),
    Requirement("max_jitter_ms", "jitter", "ms", "jitter_ms", "use a cable, pause downloads and streams"),
    Requirement("min_packet_rate", "packets", "1/s", "packet_rate", "use a cable, not a radio link"),
    Requirement("max_disconnects_per_hour", "lost connections an hour", "", None, ""),
)
