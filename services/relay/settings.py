"""What a relay is told: the group `relay` of the configuration, in the units its code counts in."""

from dataclasses import dataclass
from pathlib import Path

from libs.config import Relay


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """listen: host:port for players' clients. region: players through this relay are of it. name: no other relay has it.
    bridge: host:port. tls: directory with ca.pem, cert.pem, key.pem (libs/link/tls.py); none: no TLS, for labs and tests.

    max_connections, max_connections_per_address: clients; an IPv6 address counts by its /64. first_packet_timeout_s: from the
    connection to the whole 0436. idle_timeout_s: a client that says nothing, or reads nothing, is gone (clients say 0360 every
    few seconds). hold_timeout_s: how long a client is kept without a server. connect_timeout_s: from Serve to the server's
    02eb. linger_s: how long the other end may take to close after we did. proxy_protocol: a balancer in front says whose
    connection it is.
    """

    listen: str
    bridge: str
    region: str = ""
    name: str = "relay"
    tls: Path | None = None
    max_connections: int = 2_000
    max_connections_per_address: int = 20
    first_packet_timeout_s: float = 10.0
    idle_timeout_s: float = 120.0
    hold_timeout_s: float = 30.0
    connect_timeout_s: float = 1.0
    linger_s: float = 1.0
    proxy_protocol: bool = False

    @classmethod
    def of(cls, relay: Relay) -> "RelaySettings":
        return cls(
            listen=relay.listen,
            bridge=relay.bridge,
            region=relay.region,
            name=relay.name,
            tls=Path(relay.tls) if relay.tls else None,
            max_connections=relay.max_connections,
            max_connections_per_address=relay.max_connections_per_address,
            first_packet_timeout_s=relay.first_packet_timeout_s,
            idle_timeout_s=relay.idle_timeout_s,
            hold_timeout_s=relay.hold_timeout_s,
            connect_timeout_s=relay.connect_timeout_ms / 1000,
            proxy_protocol=relay.proxy_protocol,
        )
