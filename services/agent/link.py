"""The agent's link to the bridge: one TLS connection for all map-servers of this machine (DESIGN section 7).

`await link.open(map)` gives the port at which a map-server finds its char-server. In: orders' `link` with a ticket (`offer`).
Out: `on_event`; `report` for host.metrics, by which a ticket is asked for. An interruption of up to a second is nobody's
business: the session is resumed. After that it is lost: map-servers see their char-server go and come, and run on.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from libs.ed25519 import PrivateKey
from libs.events import HostId, Link, LinkReport, MapName
from libs.link.messages import LinkAccepted, LinkOpen, LinkResume, LinkResumed
from libs.link.records import BadLink
from libs.link.session import Ended, Left, Place, Said, Session, bye
from libs.link.tickets import LIFE_MS, prove, public_hex
from services.agent.endpoint import HIGH_BYTES, Endpoint, LinkEvent
from services.agent.uplink import NoLink, Refused, Uplink

TAKE_BYTES: Final = 128 * 1024
RESUME_AGAIN_S: Final = 0.05
OPEN_AGAIN_S: Final = (0.1, 0.5)
"""A bridge that was started again waits 2 s for its hosts. Who is refused needs another ticket, at most one a second."""
TICKET_S: Final = LIFE_MS / 1000 - 5
"""By this agent's own stopwatch; an older one is not tried any more."""
_LOG = logging.getLogger(__name__)


class AgentLink:
    """on_event: from the event loop. on_need(): a ticket is wanted, or is not any more: say so soon."""

    def __init__(
        self,
        host: HostId,
        on_event: Callable[[LinkEvent], None],
        on_need: Callable[[], None] = lambda: None,
        rng: random.Random | None = None,
    ) -> None:
        self._host, self._on_event, self._on_need = host, on_event, on_need
        self._rng = rng or random.Random()
        self._key = PrivateKey.generate()
        self.key = public_hex(self._key)
        self._endpoints: dict[MapName, Endpoint] = {}
        self._by_channel: dict[int, Endpoint] = {}
        self._offer: tuple[Link, float] | None = None
        self._news = asyncio.Event()
        self._session: Session | None = None
        self._accepted: LinkAccepted | None = None
        self._at: Link | None = None
        self._uplink: Uplink | None = None

    # -- for the supervisor -----------------------------------------------------------------------------------------------

    async def open(self, name: MapName, address: str = "", port: int = 0) -> int:
        """The port on loopback at which the map-server of this map finds its char-server; a new one for a map that is open.

        address, port: where this agent takes relays for it, IPv4 (settings `address`, `port`); none: it dials (dialing.py).

        Raises:
            OSError: no port can be had.
        """
        if (known := self._endpoints.get(name)) is not None:
            self.close(name)
        endpoint = Endpoint(Place(map=name, address=address, port=port), self, self._on_event)
        local_port = await endpoint.listen()
        self._endpoints[name] = endpoint
        if known is None and self._session is None:
            self._on_need()
        self._news.set()
        return local_port

    def close(self, name: MapName) -> None:
        """The map is served here no more."""
        if (endpoint := self._endpoints.pop(name, None)) is not None:
            self._end_channel(endpoint, "it is served here no more")
            endpoint.close()

    def players(self, name: MapName) -> int:
        """As its map-server last said."""
        endpoint = self._endpoints.get(name)
        return endpoint.players if endpoint is not None else 0

    @property
    def linked(self) -> bool:
        """There is a session; its connection may be interrupted."""
        return self._session is not None

    # -- for dials --------------------------------------------------------------------------------------------------------

    def prove(self, ticket: str, certificate: bytes) -> bytes:
        """That this process has `key`."""
        return prove(self._key, ticket, certificate)

    # -- for the heartbeat ------------------------------------------------------------------------------------------------

    @property
    def report(self) -> LinkReport | None:
        """None: nobody here wants a link."""
        return LinkReport(key=self.key, linked=self.linked) if self._endpoints or self.linked else None

    def offer(self, link: Link) -> None:
        """The newest ticket counts."""
        if link.certificate:
            self._offer = link, asyncio.get_running_loop().time()
            self._news.set()

    # -- its life ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: then the bridge is told that this is the end."""
        wait_s = OPEN_AGAIN_S[0]
        try:
            while True:
                link = await self._ticket()
                if await self._open(link):
                    wait_s = OPEN_AGAIN_S[0]
                    await self._keep()
                await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.0))
                wait_s = min(OPEN_AGAIN_S[1], wait_s * 2)
        finally:
            if self._uplink is not None:
                self._uplink.write(bye("the agent ends"))
                self._uplink.close()
            self._lose("the agent ends")
            for name in list(self._endpoints):
                self.close(name)

    async def _ticket(self) -> Link:
        """A ticket that is fresh, when somebody wants a link."""
        loop = asyncio.get_running_loop()
        while True:
            if self._offer is not None and self._endpoints and loop.time() - self._offer[1] < TICKET_S:
                return self._offer[0]
            self._news.clear()
            await self._news.wait()

    async def _open(self, link: Link) -> bool:
        """A new session. A ticket that reached the bridge is used up, whatever came of it."""
        certificate = bytes.fromhex(link.certificate)
        proof = prove(self._key, link.ticket, certificate)
        hello = LinkOpen(host=self._host, key=self.key, ticket=link.ticket, proof=proof)
        session = Session(opens=True)
        uplink = self._new_uplink(session)
        try:
            answer = await uplink.greet(link.address, link.port, certificate, hello)
        except (NoLink, Refused) as error:
            _LOG.info("no link to the bridge: %s", error)
            uplink.abort(str(error))
            if uplink.greeted and self._offer is not None and self._offer[0] is link:
                self._offer = None
                self._on_need()
            return False
        self._offer = None
        if not isinstance(answer, LinkAccepted):
            uplink.abort("it accepts what was not asked")
            return False
        _LOG.info("linked to the bridge")
        self._session, self._accepted, self._at, self._uplink = session, answer, link, uplink
        uplink.start()
        self._on_need()
        for endpoint in [endpoint for endpoint in self._endpoints.values() if endpoint.waits]:
            self.connected(endpoint)
        return True

    async def _keep(self) -> None:
        """As long as the session lives: a connection that breaks is made anew, for the window the bridge gave."""
        session = self._session
        assert session is not None
        assert self._accepted is not None
        loop = asyncio.get_running_loop()
        window_s = self._accepted.window_ms / 1000
        while self._session is session:
            assert self._uplink is not None
            why = await self._uplink.ended
            if self._session is not session:
                return
            self._uplink = None
            session.broke()
            _LOG.info("the link is interrupted: %s", why)
            deadline_s = loop.time() + window_s
            try:
                async with asyncio.timeout_at(deadline_s):
                    await self._resume_by_and_by()
            except (TimeoutError, Refused, BadLink) as error:
                self._lose(str(error) or "it did not come back in time")
                self._on_need()

    async def _resume_by_and_by(self) -> None:
        while True:
            if await self._resume():
                return
            await asyncio.sleep(RESUME_AGAIN_S * self._rng.uniform(0.5, 1.0))

    async def _resume(self) -> bool:
        """Raises: Refused: the bridge does not know it any more. BadLink: it counts otherwise than we."""
        session, accepted, at = self._session, self._accepted, self._at
        assert session is not None
        assert accepted is not None
        assert at is not None
        hello = LinkResume(session=accepted.session, secret=accepted.secret, received=session.received)
        uplink = self._new_uplink(session)
        try:
            answer = await uplink.greet(at.address, at.port, bytes.fromhex(at.certificate), hello)
        except NoLink as error:
            _LOG.debug("not resumed yet: %s", error)
            uplink.abort(str(error))
            return False
        except asyncio.CancelledError:
            uplink.abort("too late")
            raise
        if not isinstance(answer, LinkResumed):
            raise Refused("it accepts what was not asked")
        session.resume(answer.received)
        self._uplink = uplink
        uplink.start()
        self._pump()
        _LOG.info("the link is resumed")
        return True

    def _new_uplink(self, session: Session) -> Uplink:
        return Uplink(lambda data: self._heard(session, data), self._pump, session.beat)

    def _lose(self, reason: str) -> None:
        """The session is over; map-servers see their char-server go."""
        if self._session is None:
            return
        _LOG.info("the link is lost: %s", reason)
        uplink, self._uplink = self._uplink, None
        self._session = self._accepted = self._at = None
        self._by_channel = {}
        if uplink is not None:
            uplink.abort(reason)
        for endpoint in self._endpoints.values():
            endpoint.drop(reason)

    # -- the session ------------------------------------------------------------------------------------------------------

    def _heard(self, session: Session, data: bytes) -> None:
        if session is not self._session:
            return
        try:
            for event in session.feed(data):
                if isinstance(event, Said):
                    if (endpoint := self._by_channel.get(event.channel)) is not None:
                        endpoint.told(event.data)
                elif isinstance(event, Ended):
                    if (endpoint := self._by_channel.pop(event.channel, None)) is not None:
                        endpoint.drop(event.reason)
                elif isinstance(event, Left):
                    self._give_up(event.reason)
                    return
        except BadLink as error:
            self._give_up(str(error))
        self._pump()

    def _give_up(self, reason: str) -> None:
        """Then `_keep` ends, and a ticket is wanted."""
        uplink = self._uplink
        self._lose(reason)
        if uplink is not None:
            uplink.abort(reason)
        self._on_need()

    def _pump(self) -> None:
        try:
            while self._session is not None and self._uplink is not None and self._uplink.has_room:
                if not (data := self._session.take(TAKE_BYTES)):
                    break
                self._uplink.write(data)
        except BadLink as error:
            self._give_up(str(error))
        for channel, endpoint in list(self._by_channel.items()):
            if self._session is not None and self._session.waiting(channel) <= HIGH_BYTES // 2:
                endpoint.sent_some()

    # -- its endpoints (endpoint.Carrier) ---------------------------------------------------------------------------------

    def connected(self, endpoint: Endpoint) -> None:
        if self._session is not None:
            channel = self._session.open(endpoint.place)
            self._by_channel[channel] = endpoint
            endpoint.carried(channel)
            self._pump()

    def say(self, endpoint: Endpoint, data: bytes) -> int:
        if self._session is None or endpoint.channel is None:
            return 0
        self._session.say(endpoint.channel, data)
        self._pump()
        return self._session.waiting(endpoint.channel) if self._session is not None else 0

    def took(self, endpoint: Endpoint, count: int) -> None:
        if self._session is not None and endpoint.channel is not None:
            self._session.took(endpoint.channel, count)

    def ended(self, endpoint: Endpoint, reason: str) -> None:
        self._end_channel(endpoint, reason)

    def _end_channel(self, endpoint: Endpoint, reason: str) -> None:
        if self._session is not None and endpoint.channel is not None:
            self._by_channel.pop(endpoint.channel, None)
            self._session.end(endpoint.channel, reason)
            self._pump()
