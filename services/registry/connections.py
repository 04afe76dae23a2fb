"""Which connections to NATS each host has, as the server told: whether its newest one ended, where it came from. Pure.

In: every connection that comes or ends. An end concerns us only if it is of the newest: whoever is back by a new connection
while the server still waits for the old one's end is not gone (DESIGN D7). Before we listened, or while we could not, unknown
connections may have come: then an end is a hint, not a sign.
"""

from collections import OrderedDict
from enum import Enum
from typing import Protocol

from libs.events import HostId, is_name
from services.registry.facts import network_of

OPEN_MAX = 16
"""Of one host; of more the oldest are forgotten."""
HOSTS_MAX = 100_000


class Connection(Protocol):
    """A connection that came or ended, as libs.bus.port has it. user: who it was verified to be, "" where the server asks
    nobody. name: what it calls itself. server, id: which connection. address: where it came from, "" where the server does not
    say; it is not kept (DESIGN D12). at_ms: when it came or ended, the server's clock."""

    @property
    def connected(self) -> bool: ...
    @property
    def user(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def id(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def at_ms(self) -> int: ...


class Told(Enum):
    """What a connection's coming or ending means for its host. GONE: its newest ended. HINT: one that may have been it ended.
    OLD: one that was not the newest did."""

    CAME = "came"
    GONE = "gone"
    HINT = "hint"
    OLD = "old"


class Connections:
    def __init__(self) -> None:
        self._open: dict[HostId, dict[tuple[str, int], int]] = {}
        self._networks: OrderedDict[HostId, tuple[int, str]] = OrderedDict()
        self._key_of: dict[HostId, str] = {}
        self._host_of: dict[str, HostId] = {}

    def bind(self, host: HostId, key: str | None) -> None:
        """From now on this key is this host's, and nobody else is; None: nobody is."""
        if (before := self._key_of.pop(host, None)) is not None:
            del self._host_of[before]
        if key is not None:
            if (robbed := self._host_of.get(key)) is not None:
                del self._key_of[robbed]
            self._key_of[host], self._host_of[key] = key, host

    def host_of(self, connection: Connection) -> HostId | None:
        """By who it was verified to be; by its name only where the server asks nobody who he is."""
        if connection.user:
            return self._host_of.get(connection.user)
        return HostId(connection.name) if is_name(connection.name) else None

    def on(self, host: HostId, connection: Connection) -> Told:
        key = (connection.server, connection.id)
        if connection.connected:
            if host in self._open or len(self._open) < HOSTS_MAX:
                self._came(self._open.setdefault(host, {}), key, connection.at_ms)
            self._came_from(host, connection)
            return Told.CAME
        known = self._open.get(host, {})
        if key not in known:
            return Told.OLD if known else Told.HINT
        newest = max(known, key=lambda each: known[each])
        del known[key]
        if not known:
            del self._open[host]
        return Told.GONE if newest == key else Told.OLD

    def count(self, host: HostId) -> int:
        return len(self._open.get(host, ()))

    def network(self, host: HostId) -> str | None:
        """A name for the network its newest connection came from, as `facts.network_of`; None: it was never told."""
        return self._networks[host][1] if host in self._networks else None

    def _came_from(self, host: HostId, connection: Connection) -> None:
        """One that came while we did not hear has its own word when it comes again; until then the last known holds."""
        known_ms, _ = self._networks.get(host, (0, ""))
        if connection.address and connection.at_ms >= known_ms:
            self._networks[host] = connection.at_ms, network_of(connection.address)
            self._networks.move_to_end(host)
            if len(self._networks) > HOSTS_MAX:
                self._networks.popitem(last=False)

    @staticmethod
    def _came(known: dict[tuple[str, int], int], key: tuple[str, int], at_ms: int) -> None:
        """It may be told again while it lasts: that makes it no newer."""
        known[key] = at_ms
        if len(known) > OPEN_MAX:
            del known[min(known, key=lambda each: known[each])]

    def forget_all(self) -> None:
        """Some may have come or ended unheard."""
        self._open.clear()
