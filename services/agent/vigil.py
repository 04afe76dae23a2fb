"""What nobody tells a process: the machine slept, stood still, or is in another network. And an identity no longer accepted.

Each second it looks; where the connection to NATS cannot be the one it was, it makes a new one at once: else the dead one would
be noticed only after three pings. Called by running, beside the shell.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from libs.bus.errors import AuthorizationFailed, BusUnavailable
from services.agent.platforms import slept_s

LOOK_S: Final = 1.0
SLEPT_S_MIN: Final = 1.0
"""The clocks' own difference is microseconds."""
STOOD_STILL_S: Final = 5.0
"""A look that comes this late: the process was stopped, or its machine was. The connection may live; a ping tells."""
PROBE_TIMEOUT_S: Final = 1.0
RESOLVE_TIMEOUT_S: Final = 5.0
REFUSED_S_MAX: Final = 30.0
"""A server whose users are being written anew accepts us again before."""
NATS_PORT: Final = 4222
Way = tuple[int, Any]
"""Address family and socket address."""
_LOG = logging.getLogger(__name__)


class Line(Protocol):
    """The connection that is watched: libs.bus.nats.NatsBus."""

    @property
    def connected(self) -> bool: ...

    @property
    def refused(self) -> bool: ...

    async def reconnect(self, why: str) -> None: ...

    async def ping(self, timeout_s: float) -> float: ...


class Vigil:
    """url: of NATS, as configured. on_other_path(): the network is another. woke(): beat at once."""

    def __init__(
        self,
        line: Line,
        url: str,
        on_other_path: Callable[[], None],
        woke: Callable[[], None],
        slept: Callable[[], float] = slept_s,
    ) -> None:
        self._line, self._on_other_path, self._woke, self._slept = line, on_other_path, woke, slept
        self._servers = [server_of(part) for part in url.split(",")]
        self._ways: list[Way] = []
        self._address: str | None = None
        self._refused_since_s: float | None = None

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            AuthorizationFailed: the server answers, and has not accepted this identity for REFUSED_S_MAX.
        """
        loop = asyncio.get_running_loop()
        slept, looked_s = self._slept(), loop.time()
        self._address = await self._local_address()
        while True:
            await asyncio.sleep(LOOK_S)
            now_s, now_slept = loop.time(), self._slept()
            if now_slept - slept >= SLEPT_S_MIN:
                await self._on_wake(f"this machine slept for {now_slept - slept:.0f} s")
            elif now_s - looked_s >= STOOD_STILL_S:
                await self._on_standstill(now_s - looked_s)
            slept = now_slept
            self._look_at_identity(now_s)
            await self._look_at_address()
            looked_s = loop.time()

    async def _on_wake(self, why: str) -> None:
        _LOG.info("%s: connecting anew", why)
        self._on_other_path()
        await self._line.reconnect(why)
        self._woke()

    async def _on_standstill(self, seconds: float) -> None:
        _LOG.info("this agent stood still for %.0f s", seconds)
        try:
            await self._line.ping(PROBE_TIMEOUT_S)
        except BusUnavailable:
            if self._line.connected:
                await self._line.reconnect("no answer after a standstill")
        self._woke()

    def _look_at_identity(self, now_s: float) -> None:
        if not self._line.refused:
            self._refused_since_s = None
        elif self._refused_since_s is None:
            _LOG.warning("the server does not accept this host's identity any more; trying for %g s", REFUSED_S_MAX)
            self._refused_since_s = now_s
        elif now_s - self._refused_since_s >= REFUSED_S_MAX:
            raise AuthorizationFailed("the server does not accept this host's identity any more: ask the operator")

    async def _look_at_address(self) -> None:
        """No address: no network at all, which the connection's own pings will notice; a later one tells what became."""
        address = await self._local_address()
        if address is None or address == self._address:
            return
        before, self._address = self._address, address
        if before is not None:
            _LOG.info("this machine is in another network: connecting anew")
            self._on_other_path()
            await self._line.reconnect("another network")

    async def _local_address(self) -> str | None:
        """The address of this machine on the way to the first server it has a way to. Names are looked up while we are not
        connected, not each second."""
        if not self._ways or not self._line.connected:
            self._ways = [way for host, port in self._servers for way in await ways_to(host, port)]
        return next((address for way in self._ways if (address := local_address(way)) is not None), None)


def server_of(url: str) -> tuple[str, int]:
    """Host and port of one nats URL."""
    at = urlsplit(url if "://" in url else f"nats://{url}")
    return at.hostname or "127.0.0.1", at.port or NATS_PORT


async def ways_to(host: str, port: int) -> list[Way]:
    """Families and addresses of a server, the preferred first; empty where nobody knows the name now."""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return [(family, at) for family, _, _, _, at in found]


def local_address(way: Way) -> str | None:
    """This machine's address on that way, by its routes; nothing is sent. None: there is no way now."""
    family, at = way
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect(at)  # of a datagram socket: looks up the route, and no more
            return str(route.getsockname()[0])
    except OSError:
        return None
