"""From the configuration to what the bridge's core is told. Read once, in `__main__`."""

import contextlib
import os
from pathlib import Path

from libs.config import Settings
from libs.events import NodeName
from libs.rathena.layout import BadLayout, Layout, shipped
from libs.rathena.values import ip_bytes
from services.bridge.state import Rules

FROZEN_MS = 5_000
"""A map-server has one thread and may be busy for seconds; who takes it for frozen loses what was not saved yet."""


class CannotStart(Exception):
    """In words for the operator."""


def rules_of(settings: Settings, name: NodeName) -> Rules:
    """
    Raises:
        CannotStart: an address that clients or map-servers are told is no IPv4 address.
    """
    front_ip, front_port = _ipv4("relay.public", settings.relay.public)
    return Rules(
        front_ip=front_ip,
        front_port=front_port,
        core_address=_ipv4("vps.core", settings.vps.core),
        fallback_address=_ipv4("vps.fallback", settings.vps.fallback),
        userid=settings.bridge.userid.encode(),
        passwd=settings.bridge.passwd.encode(),
        migration_timeout_ms=settings.failover.migration_timeout,
        silence_ms=max(FROZEN_MS, 2 * settings.failover.silence_ms),
        start_timeout_ms=settings.failover.start_timeout * 1000,
        hold_ms=settings.relay.hold_timeout_s * 1000,
        when_validator_away=settings.security.when_validator_away,
        patience_ms=settings.security.hold_s * 1000,
        alerts=settings.monitoring.alert_on_failure,
        name=name,
    )


def layout_of(settings: Settings) -> Layout:
    """
    Raises:
        CannotStart: no such file, or no layout.
    """
    if not settings.bridge.layout:
        return shipped()
    try:
        return Layout.from_json(Path(settings.bridge.layout).read_bytes())
    except (OSError, BadLayout) as error:
        raise CannotStart(f"bridge.layout = {settings.bridge.layout}: {error}") from None


def _ipv4(key: str, address: str) -> tuple[bytes, int]:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(ValueError, OverflowError):
        return ip_bytes("127.0.0.1" if host == "localhost" else host), int(port)
    raise CannotStart(f"{key} = {address}: rAthena tells IPv4 addresses only, so this has to be one")


def is_open() -> bool:
    """KAFRA_BRIDGE_OPEN=1: hosts link without a ticket. `kafra up --open` sets it; loopback only."""
    return os.environ.get("KAFRA_BRIDGE_OPEN") == "1"
