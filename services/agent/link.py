"""The agent's link to the bridge: one TLS connection for all map-servers of this machine (DESIGN section 7).

`await link.open(map)` gives the port at which a map-server finds its char-server. In: orders' `link` with a ticket (`offer`).
Out: `on_event`; `report` for host.metrics, by which a ticket is asked for. An interruption of up to a second is nobody's
business: the session is resumed. After that it is lost: map-servers see their char-server go and come, and run on. With no
map for IDLE_S it is ended: a host that serves nothing costs the bridge nothing. The next map opens it again.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libs.ed25519 import PrivateKey
from libs.events import HostId, Link, LinkReport, MapName
from libs.link.messages import LinkAccepted, LinkOpen, LinkResume, LinkResumed
from libs.link.records import BadLink
from libs.link.session import Place, Session, bye
from libs.link.tickets import prove, public_hex
from services.agent.carried import Carried
from services.agent.link_events import LinkEvent
from services.agent.offers import Offers
from services.agent.uplink import NoLink, Refused, Uplink

if TYPE_CHECKING:
    from services.agent.endpoint import Endpoint

RESUME_AGAIN_S: Final = 0.05
OPEN_AGAIN_S: Final = (0.1, 0.5)
"""A bridge that was started again waits 2 s for its hosts. Who is refused needs another ticket, at most one a second."""
IDLE_S: Final = 60.0
"""Long enough that a map which is given back and taken anew costs no new session; four beats a second each way until then."""
IDLE_AGAIN_S: Final = 1.0
_LOG = logging.getLogger(__name__)


class AgentLink:
    """on_event: from the event loop. on_need(): a ticket is wanted, or is not any more: say so soon."""

    def __init__(
        self,
        host: HostId,
        on_event: Callable[[LinkEvent], None],
        on_need: Callable[[], None] = lambda: None,
        rng: random.Random | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self._host, self._on_event, self._on_need = host, on_event, on_need
        self._rng = rng or random.Random()
        self._key = PrivateKey.generate()
        self.key = public_hex(self._key)
        self._endpoints: dict[MapName, Endpoint] = {}
        self._idle_s = idle_s
        self._idle: asyncio.TimerHandle | None = None
        self._offers = Offers()
        self._news = asyncio.Event()
        self._carried = Carried(self._give_up)
        self._accepted: LinkAccepted | None = None
        self._at: Link | None = None

    # -- for the supervisor -----------------------------------------------------------------------------------------------

    async def open(self, name: MapName, address: str = "", port: int = 0) -> int:
        """The port on loopback at which the map-server of this map finds its char-server; a new one for a map that is open.

        address, port: where this agent takes relays for it, IPv4 (settings `address`, `port`); none: it dials (dialing.py).

        Raises:
            OSError: no port can be had.
        """
        from services.agent.endpoint import Endpoint  # 4 MB of packet tables: an agent without a map does without

        if (known := self._endpoints.get(name)) is not None:
            self.close(name)
        endpoint = Endpoint(Place(map=name, address=address, port=port), self._carried, self._on_event)
        local_port = await endpoint.listen()
        self._endpoints[name] = endpoint
        if known is None and self._carried.session is None:
            self._on_need()
        self._news.set()
        return local_port

    def close(self, name: MapName) -> None:
        """The map is served here no more."""
        if (endpoint := self._endpoints.pop(name, None)) is not None:
            self._carried.ended(endpoint, "it is served here no more")
            endpoint.close()
        self._watch_idle(self._idle_s)

    @property
    def linked(self) -> bool:
        """There is a session; its connection may be interrupted."""
        return self._carried.session is not None

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
            self._offers.add(link)
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
            self._leave("the agent ends")
            for name in list(self._endpoints):
                self.close(name)
            if self._idle is not None:
                self._idle.cancel()

    async def _ticket(self) -> Link:
        """A ticket that is fresh, when somebody wants a link."""
        while True:
            if self._endpoints and (link := self._offers.fresh()) is not None:
                return link
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
            if uplink.greeted and self._offers.use_up(link):
                self._on_need()
            return False
        self._offers.use_up(link)
        if not isinstance(answer, LinkAccepted):
            uplink.abort("it accepts what was not asked")
            return False
        _LOG.info("linked to the bridge")
        self._accepted, self._at = answer, link
        self._carried.session, self._carried.uplink = session, uplink
        uplink.start()
        self._on_need()
        for endpoint in [endpoint for endpoint in self._endpoints.values() if endpoint.waits]:
            self._carried.connected(endpoint)
        self._watch_idle(self._idle_s)
        return True

    async def _keep(self) -> None:
        """As long as the session lives: a connection that breaks is made anew, for the window the bridge gave."""
        session = self._carried.session
        assert session is not None
        assert self._accepted is not None
        loop = asyncio.get_running_loop()
        window_s = self._accepted.window_ms / 1000
        while self._carried.session is session:
            assert self._carried.uplink is not None
            why = await self._carried.uplink.ended
            if self._carried.session is not session:
                return
            self._carried.uplink = None
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
        session, accepted, at = self._carried.session, self._accepted, self._at
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
        self._carried.uplink = uplink
        uplink.start()
        self._carried.pump()
        _LOG.info("the link is resumed")
        return True

    def _new_uplink(self, session: Session) -> Uplink:
        return Uplink(lambda data: self._carried.heard(session, data), self._carried.pump, session.beat)

    def _lose(self, reason: str) -> None:
        """The session is over; map-servers see their char-server go."""
        if self._carried.session is None:
            return
        _LOG.info("the link is over: %s", reason)
        uplink, self._carried.uplink = self._carried.uplink, None
        self._carried.forget()
        self._accepted = self._at = None
        if uplink is not None:
            uplink.abort(reason)
        for endpoint in self._endpoints.values():
            endpoint.drop(reason)

    # -- its end, when nothing is served ----------------------------------------------------------------------------------

    def _watch_idle(self, seconds: float) -> None:
        """From the last map that is closed, and from a link that came when none was wanted any more."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(seconds, self._look_idle)

    def _look_idle(self) -> None:
        """The bridge has every word of ours, or it goes on."""
        if self._carried.session is None or self._endpoints:
            return
        if self._carried.uplink is None or not self._carried.session.is_settled:
            self._watch_idle(IDLE_AGAIN_S)
            return
        self._leave("nothing is served here")
        self._on_need()

    def _leave(self, reason: str) -> None:
        """The bridge is told that the session is over."""
        uplink, self._carried.uplink = self._carried.uplink, None
        if uplink is not None:
            uplink.write(bye(reason))
            uplink.close()
        self._lose(reason)

    def _give_up(self, reason: str) -> None:
        """Then `_keep` ends, and a ticket is wanted."""
        uplink = self._carried.uplink
        self._lose(reason)
        if uplink is not None:
            uplink.abort(reason)
        self._on_need()
