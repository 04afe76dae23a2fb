"""What the registry reads and hears, and its core made. One replica speaks, by lease (DESIGN D2)."""

import secrets
from pathlib import Path

from libs.config import ConfigError, Finding, Settings
from libs.events import HostId, HostLost, HostMetrics, HostRtt, Link, NodeName, Stream
from libs.link.keys import BRIDGE_FILE, fingerprint_of, signing_key
from libs.link.peer import split
from libs.link.tickets import LIFE_MS, NONCE_BYTES, Ticket, sign
from libs.link.tls import BadIdentity
from libs.runtime.service import Service
from services.registry.core import Registry
from services.registry.orders import Tickets


def _make_core(settings: Settings, name: NodeName, now_ms: int) -> Registry:
    """Raises: ConfigError: its keys are no keys."""
    try:
        tickets = tickets_of(settings) if settings.registry.tickets else None
    except BadIdentity as error:
        raise ConfigError([Finding(str(error), None, "registry.tickets", "tickets cannot be signed")]) from None
    return Registry(settings, name=name, started_ms=now_ms, tickets=tickets)


def tickets_of(settings: Settings) -> Tickets:
    """Links to the bridge, each with a ticket of its own. Raises: BadIdentity."""
    directory = Path(settings.registry.tickets)
    key, certificate = signing_key(directory), fingerprint_of(directory / BRIDGE_FILE).hex()
    address, port = split(settings.bridge.public)

    def link(host: HostId, holder: str, now_ms: int) -> Link:
        nonce = secrets.token_bytes(NONCE_BYTES)
        ticket = Ticket(purpose="link", host=host, key=holder, nonce=nonce, expires_ms=now_ms + LIFE_MS)
        return Link(address=address, port=port, ticket=sign(ticket, key), certificate=certificate)

    return link


FOLLOWS = (Stream.HOSTS, Stream.ASSIGNMENTS, Stream.MAPS)
SERVICE = Service("registry", FOLLOWS, (HostMetrics, HostLost, HostRtt), "registry", _make_core, watches=True)
