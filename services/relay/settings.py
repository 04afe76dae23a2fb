"""What a relay is told: from the environment, KAFRA_RELAY_<NAME>, read once in `__main__`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=3600)]
Address = Annotated[str, Field(pattern=r"^.{1,255}:\d{1,5}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_@-]{1,32}$")]


class RelaySettings(BaseSettings):
    """listen: host:port for players' clients. region: players through this relay are of it. name: no other relay has it.
    bridge: host:port. tls: directory with ca.pem, cert.pem, key.pem (libs/link/tls.py); none: no TLS, for labs and tests.

    max_connections, max_connections_per_address: clients; an IPv6 address counts by its /64. first_packet_timeout_s: from the
    connection to the whole 0436. idle_timeout_s: a client that says nothing, or reads nothing, is gone (clients say 0360 every
    few seconds). hold_timeout_s: how long a client is kept without a server. connect_timeout_s: from Serve to the server's
    02eb. linger_s: how long the other end may take to close after we did. proxy_protocol: a balancer in front says whose
    connection it is.
    """

    model_config = SettingsConfigDict(env_prefix="KAFRA_RELAY_", extra="ignore", frozen=True)

    listen: Address = "0.0.0.0:5121"
    region: Name = "vps"
    name: Name = "relay"
    bridge: Address = "127.0.0.1:7121"
    tls: Path | None = None
    max_connections: Annotated[int, Field(ge=1, le=50_000)] = 2_000
    max_connections_per_address: Annotated[int, Field(ge=1, le=50_000)] = 20
    first_packet_timeout_s: Seconds = 10.0
    idle_timeout_s: Seconds = 120.0
    hold_timeout_s: Seconds = 30.0
    connect_timeout_s: Seconds = 1.0
    linger_s: Seconds = 1.0
    proxy_protocol: bool = False
