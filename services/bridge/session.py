"""One agent's session: its map-servers' channels over one connection after another. An incarnation of that host (DESIGN D6).

A connection that ends without a word leaves the session in doubt for WINDOW_S: its channels stay, what is said to them waits,
and the agent may resume. It is over at once when the agent says so, when the host opens another, when it breaks the rules.
Whether a host in doubt is dead is not decided here: its players' connections tell (doubt.py).
"""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from libs.link.records import BadLink
from libs.link.session import Ended, Left, Opened, Place, Said, Session, bye
from services.bridge.channels import HostChannel

if TYPE_CHECKING:
    from services.bridge.agents import Agents, AgentWire

WINDOW_S: Final = 1.5
"""An interruption of 1 s, and what it takes to notice it and to connect over a long line."""
BEAT_S: Final = 0.25
DEAD_S: Final = 3.0
"""Without a byte: longer than any window, so that it is over then. Death by silence is the registry's to find, and sooner."""
TAKE_BYTES: Final = 128 * 1024
_LOG = logging.getLogger(__name__)


class HostSession:
    """host: whose. key: of that agent process. id, secret: to resume it by."""

    def __init__(self, agents: "Agents", host: str, key: str, id_: str, secret: bytes) -> None:
        self.host, self.key, self.id, self.secret = host, key, id_, secret
        self._agents = agents
        self._session = Session(opens=False)
        self._wire: AgentWire | None = None
        self._channels: dict[int, HostChannel] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = self._beat_s = 0.0
        self._over = False

    # -- its connection ---------------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        return self._session.received

    def resume(self, received: int) -> None:
        """Raises: BadLink."""
        if self._wire is not None:
            old, self._wire = self._wire, None
            old.abort()
        self._session.broke()
        self._session.resume(received)

    def attach(self, wire: "AgentWire") -> None:
        self._wire = wire
        self._heard_s = self._beat_s = self._loop.time()
        self._later(BEAT_S, self._beat)
        for channel in list(self._channels.values()):
            self._agents.on_doubt(channel.number, False)
        self.pump()

    def lost(self, wire: "AgentWire") -> None:
        """The connection ended, and nobody said why."""
        if self._wire is not wire or self._over:
            return
        self._wire = None
        self._later(WINDOW_S, self._expired)
        for channel in list(self._channels.values()):
            self._agents.on_doubt(channel.number, True)

    def heard(self, wire: "AgentWire", data: bytes) -> None:
        if self._wire is not wire:
            return
        self._heard_s = self._loop.time()
        try:
            for event in self._session.feed(data):
                if self._over:
                    return
                if isinstance(event, Said):
                    if (channel := self._channels.get(event.channel)) is not None:
                        channel.said(event.data)
                elif isinstance(event, Opened):
                    self._opened(event.channel, event.place)
                elif isinstance(event, Ended):
                    if (channel := self._channels.pop(event.channel, None)) is not None:
                        channel.ended()
                elif isinstance(event, Left):
                    self.over(event.reason)
        except BadLink as error:
            self._broke_rules(str(error))
        self.pump()

    def pump(self) -> None:
        """Writes what may be written, as far as the connection takes it."""
        try:
            while self._wire is not None and not self._wire.full and (data := self._session.take(TAKE_BYTES)):
                self._wire.write(data)
        except BadLink as error:
            self._broke_rules(str(error))

    def over(self, reason: str) -> None:
        """It owns nobody any more."""
        if self._over:
            return
        self._over = True
        _LOG.info("the link of %s is over: %s", self.host, reason)
        self._agents.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.write(bye(reason))
            wire.close()
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.gone()

    def _broke_rules(self, why: str) -> None:
        if not self._over:
            self._agents.misbehaved(self.host, why)
            self.over(why)

    # -- its channels -----------------------------------------------------------------------------------------------------

    def say(self, channel: int, data: bytes) -> None:
        self._session.say(channel, data)
        self.pump()

    def waiting(self, channel: int) -> int:
        return self._session.waiting(channel)

    def took(self, channel: int, count: int) -> None:
        self._session.took(channel, count)

    def end(self, channel: int, reason: str) -> None:
        """What its credit allows is said before."""
        self._channels.pop(channel, None)
        self.pump()
        self._session.end(channel, reason, at_once=True)
        self.pump()

    def _opened(self, number: int, place: Place) -> None:
        """Raises: BadLink: the address is none of a host."""
        ip = self._address(place.address)
        channel = self._channels[number] = HostChannel(self._agents.links.next_number(), self._agents.links, self, number)
        channel.made()
        self._agents.on_host(channel.number, self.host, place.map, ip, place.port, self.key)

    def _address(self, text: str) -> bytes:
        """Relays connect there for players: a host may not send them to the VPS itself."""
        if not text:
            return bytes(4)
        try:
            address = IPv4Address(text)
        except ValueError:
            raise BadLink("its address is no IPv4 address") from None
        local = address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast
        if local and not (self._wire is not None and self._wire.is_local):
            raise BadLink("its address is none that others could reach")
        return address.packed

    # -- time -------------------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, call)

    def _expired(self) -> None:
        self.over(f"its connection broke, and it did not come back within {WINDOW_S:g} s")

    def _beat(self) -> None:
        """Silence is judged only if we ourselves were awake: a process that was stopped has not heard anybody."""
        now_s = self._loop.time()
        if now_s - self._beat_s > 2 * BEAT_S:
            self._heard_s = now_s
        self._beat_s = now_s
        if now_s - self._heard_s > DEAD_S:
            self.over(f"it said nothing for {DEAD_S:g} s")
            return
        self._later(BEAT_S, self._beat)
        if self._wire is not None and not self._wire.full:
            self._wire.write(self._session.beat())
            self.pump()
