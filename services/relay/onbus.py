"""The relay's connection to the bus, which comes and goes; players never wait for it.

In: words to say, questions to hosts. Out: answers, None while nobody answers. Used by timing (host.rtt) and back (host.dial).
"""

import asyncio
import logging
from typing import Final

from libs.bus.errors import BusError
from libs.bus.nats import NatsBus, connect
from libs.config import Nats
from libs.events import Event, Reply
from libs.runtime.process import node_name

BUS_RETRY_S: Final = 1.0
"""Between two connections to a bus that cannot be reached at first; one that breaks comes back by itself."""
_LOG = logging.getLogger(__name__)


class OnBus:
    """`run` until cancelled. name: what this process calls itself on the bus."""

    def __init__(self, nats: Nats) -> None:
        self._nats = nats
        self.name = node_name("relay")
        self._bus: NatsBus | None = None
        self._away = ""

    @property
    def connected(self) -> bool:
        return self._bus is not None and self._bus.connected

    def say(self, event: Event) -> None:
        """Dropped while disconnected."""
        if self._bus is not None and self._bus.connected:
            self._bus.say(event)

    async def ask(self, request: Event, timeout_s: float) -> Reply | None:
        """None: nobody answered in time; at once where there is nobody, or no bus."""
        return await self._bus.ask(request, timeout_s) if self._bus is not None and self._bus.connected else None

    async def run(self) -> None:
        """Until there is a connection: that one lasts."""
        while True:
            try:
                bus = await connect(self._nats.url, name=self.name, credentials=self._nats.credentials or None)
            except BusError as error:
                if (why := str(error)) != self._away:
                    self._away = why
                    _LOG.warning("NATS: %s; players are served without it", error)
                await asyncio.sleep(BUS_RETRY_S)
                continue
            _LOG.info("NATS: connected")
            self._bus = bus
            try:
                await asyncio.Event().wait()
            finally:
                self._bus = None
                await bus.close()
