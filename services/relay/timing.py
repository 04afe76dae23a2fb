"""Says on the bus how long hosts take to answer this relay (host.rtt). The bus comes and goes; players never wait for it.

In: how long each connection to a map-server took (RelayShell's on_rtt). Out: host.rtt, and now and then a connection of our
own to an address the bridge has named, closed at once.
"""

import asyncio
import contextlib
import logging
from time import monotonic
from typing import Final

from libs.bus.errors import BusError
from libs.bus.nats import NatsBus, connect
from libs.config import Nats
from libs.events import HostId, Region
from libs.runtime.clock import Clock
from libs.runtime.process import node_name
from services.relay.effects import Dial
from services.relay.ways import Ways

TICK_S: Final = 0.25
BUS_RETRY_S: Final = 1.0
"""Between two connections to a bus that cannot be reached at first; one that breaks comes back by itself."""
_LOG = logging.getLogger(__name__)


class Timing:
    """`run` until cancelled. connect_timeout_s: of a probe."""

    def __init__(self, region: Region, nats: Nats, connect_timeout_s: float) -> None:
        self._nats, self._connect_timeout_s = nats, connect_timeout_s
        self._ways = Ways(region)
        self._clock = Clock()
        self._away = ""

    def on_rtt(self, dial: Dial, rtt_ms: float) -> None:
        """A server took a player's connection within rtt_ms."""
        self._ways.timed(dial.server, dial.address, dial.port, rtt_ms, self._clock.now_ms())

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._probe())
                tasks.create_task(self._live_on_bus())
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

    async def _live_on_bus(self) -> None:
        """Until there is a connection: that one lasts."""
        while True:
            try:
                bus = await connect(self._nats.url, name=node_name("relay"), credentials=self._nats.credentials or None)
            except BusError as error:
                if (why := str(error)) != self._away:
                    self._away = why
                    _LOG.warning("NATS: %s; players are served without it", error)
                await asyncio.sleep(BUS_RETRY_S)
                continue
            try:
                await self._say_on(bus)
            finally:
                await bus.close()

    async def _say_on(self, bus: NatsBus) -> None:
        _LOG.info("NATS: connected; says how long hosts take to answer")
        while True:
            await asyncio.sleep(TICK_S)
            if bus.connected:
                for said in self._ways.to_say(self._clock.now_ms()):
                    bus.say(said)
