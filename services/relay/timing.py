"""Says on the bus how long hosts take to answer this relay (host.rtt). The bus comes and goes; players never wait for it.

In: how long each connection to a map-server took (RelayShell's on_rtt). Out: host.rtt, and now and then a connection of our
own to an address the bridge has named, closed at once.
"""

import asyncio
import contextlib
import logging
from time import monotonic
from typing import Final

from libs.events import HostId, Region
from libs.runtime.clock import Clock
from services.relay.effects import Dial
from services.relay.onbus import OnBus
from services.relay.ways import Ways

TICK_S: Final = 0.25
_LOG = logging.getLogger(__name__)


class Timing:
    """`run` until cancelled. connect_timeout_s: of a probe."""

    def __init__(self, region: Region, bus: OnBus, connect_timeout_s: float) -> None:
        self._bus, self._connect_timeout_s = bus, connect_timeout_s
        self._ways = Ways(region)
        self._clock = Clock()

    def on_rtt(self, dial: Dial, rtt_ms: float) -> None:
        """A server took a player's connection within rtt_ms."""
        self._ways.timed(dial.server, dial.address, dial.port, rtt_ms, self._clock.now_ms())

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._probe())
                tasks.create_task(self._say())
        except* Exception:  # noqa: BLE001 - the middleware: players are served all the same
            _LOG.exception("bug: hosts are timed no more")

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            async with asyncio.TaskGroup() as tasks:
                for host, address, port in self._ways.to_probe(self._clock.now_ms()):
                    tasks.create_task(self._probe_one(host, address, port))

    async def _probe_one(self, host: HostId, address: str, port: int) -> None:
        started_s = monotonic()
        rtt_ms: float | None = None
        with contextlib.suppress(OSError, ValueError):  # a timeout is an OSError; ValueError: no address at all
            async with asyncio.timeout(self._connect_timeout_s):
                _, writer = await asyncio.open_connection(address, port)
            rtt_ms = (monotonic() - started_s) * 1000
            writer.transport.abort()
        self._ways.probed(host, rtt_ms, self._clock.now_ms())

    async def _say(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._bus.connected:
                for said in self._ways.to_say(self._clock.now_ms()):
                    self._bus.say(said)
