"""What an agent needs of its machine: measurements, and somebody who runs map-servers. And what the machine needs of it."""

from collections.abc import Mapping
from typing import Protocol

from libs.events import (
    HostDial,
    HostDialReply,
    HostId,
    HostSpeed,
    HostSpeedReply,
    Link,
    LinkReport,
    MapName,
    MapReport,
    OrderedMap,
    Region,
)
from services.agent.core import Measured


class ServerSide(Protocol):
    """What a machine measures against. The agent's shell is one."""

    @property
    def host(self) -> HostId: ...

    @property
    def serving(self) -> bool:
        """Maps run here: what disturbs players has to wait."""

    @property
    def regions(self) -> Mapping[Region, str]:
        """Region -> its relay's host:port, as last ordered."""

    async def ask_speed(self, request: HostSpeed, timeout_s: float) -> HostSpeedReply | None: ...


class Metrics(Protocol):
    """A source of measurements: the real machine (machine.py) or a made-up one (simulated.py)."""

    def measure(self) -> Measured:
        """What is known now; quick, it is asked at every heartbeat."""

    def observe_round_trip(self, seconds: float) -> None:
        """One round trip to NATS was measured; it ended now."""

    def on_other_path(self) -> None:
        """The machine's network is another than before: what was measured of the old one holds no more."""

    async def keep_measuring(self, server: ServerSide) -> None:
        """What takes time to measure, for as long as the agent runs."""


class BridgeLink(Protocol):
    """The way to the bridge (link.py), to whom beats and hears orders."""

    @property
    def report(self) -> LinkReport | None:
        """For the heartbeat: by it a ticket is asked for."""

    def offer(self, link: Link) -> None:
        """An order had a ticket."""


class Doors(Protocol):
    """Which map-servers of this machine take players, and where."""

    def port_of(self, map: MapName) -> int | None:  # noqa: A002 - as the wire calls it
        """On loopback; None: there is none that is ready."""


class ProcessKey(Protocol):
    """The key of this agent process, which tickets are for; its link has it."""

    key: str

    def prove(self, ticket: str, certificate: bytes) -> bytes:
        """That we have it; certificate: SHA-256 of that of who is told."""


class Dials(Protocol):
    """Brings players here (dialing.py)."""

    @property
    def players_max(self) -> int:
        """So many at once; more are refused."""

    async def answer(self, dial: HostDial) -> HostDialReply:
        """Returns when the connection stands, or why not."""


class MapServers(Protocol):
    """Runs map-servers as ordered."""

    def obey(self, wanted: dict[MapName, OrderedMap], now_ms: int) -> None:
        """Start what is wanted and does not run, stop what runs and is not wanted."""

    def reports(self, now_ms: int) -> dict[MapName, MapReport]:
        """The state of each."""

    async def close(self) -> None:
        """Stop all; returns when none runs any more."""


class MapLinks(Protocol):
    """Carries the inter-server streams of this machine's map-servers to the bridge. What it sees of them it says to
    maps/servers.py: `on_linked`, `on_heard`, `on_players`, `on_gone`."""

    async def open(self, name: MapName, address: str, port: int) -> int:
        """A port on loopback that is this map's char-server from now on. address, port: where its map-server takes clients.

        Raises:
            OSError: this machine lets nobody listen on its loopback.
        """

    def close(self, name: MapName) -> None:
        """Its map-server has ended."""
