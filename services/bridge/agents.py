"""Agents' connections: TLS, a greeting with a ticket or a session's secret, then that session's records (session.py).

In: connections. Out: sessions, new or resumed; refusals, to be reported. Nobody who has not been let in costs more than
one small frame of memory for HELLO_TIMEOUT_S.
"""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, cast

from libs.link.frames import BadFrame, first, frame
from libs.link.messages import AGENT_GREETS, GREETING_BYTES_MAX, LinkAccepted, LinkOpen, LinkRefused, LinkResume, LinkResumed
from libs.link.records import BadLink
from libs.link.tickets import BadTicket
from services.bridge.admission import Admission
from services.bridge.hosts import HELLO_TIMEOUT_S, OnHost
from services.bridge.links import Links
from services.bridge.session import WINDOW_S, HostSession

GREETING_MAX: Final = 512
"""Connections that have not said who they are; more are closed."""
SESSIONS_MAX: Final = 20_000
HIGH_BYTES: Final = 256 * 1024
"""Unsent bytes of one connection; then its session waits."""
_LOG = logging.getLogger(__name__)
OnRefused = Callable[[str | None, str, str], None]
"""(host, why, detail): somebody was refused. host: None where nothing proves that it concerns him."""


class Agents:
    """on_doubt(number, doubtful): the link of this map-server broke, and may come back; or it has."""

    def __init__(
        self,
        links: Links,
        admission: Admission,
        *,
        on_host: OnHost,
        on_doubt: Callable[[int, bool], None],
        on_refused: OnRefused,
        now_ms: Callable[[], int],
    ) -> None:
        self.links, self.on_host, self.on_doubt = links, on_host, on_doubt
        self._admission, self._on_refused, self._now_ms = admission, on_refused, now_ms
        self._by_id: dict[str, HostSession] = {}
        self._by_host: dict[str, HostSession] = {}
        self.greeting = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def protocol(self) -> "AgentWire":
        return AgentWire(self)

    def open(self, hello: LinkOpen, wire: "AgentWire") -> HostSession | None:
        """A new incarnation; one of the same host before it is over. None: refused, and said."""
        try:
            if len(self._by_id) >= SESSIONS_MAX:
                wire.refuse("too many hosts")
                return None
            self._admission.admit(hello, self._now_ms())
        except BadTicket as error:
            self._on_refused(hello.host if error.signed else None, error.why, str(error))
            wire.refuse(f"the ticket: {error}")
            return None
        if (old := self._by_host.get(hello.host)) is not None:
            old.over("the host linked anew")
        session = HostSession(self, hello.host, hello.key, secrets.token_hex(16), secrets.token_bytes(32))
        self._by_id[session.id] = self._by_host[hello.host] = session
        wire.write(frame(LinkAccepted(session=session.id, secret=session.secret, window_ms=int(WINDOW_S * 1000))))
        session.attach(wire)
        return session

    def resume(self, hello: LinkResume, wire: "AgentWire") -> HostSession | None:
        """None: refused, and said."""
        session = self._by_id.get(hello.session)
        if session is None:
            wire.refuse("no such session")
            return None
        if not hmac.compare_digest(session.secret, hello.secret):
            self._on_refused(None, "secret", "a session without its secret")
            wire.refuse("no such session")
            return None
        try:
            session.resume(hello.received)
        except BadLink as error:
            session.over(str(error))
            wire.refuse("no such session")
            return None
        wire.write(frame(LinkResumed(received=session.received)))
        session.attach(wire)
        return session

    def misbehaved(self, host: str, why: str) -> None:
        """A host that was let in does not keep to the rules of the link."""
        self._on_refused(host, "link", why)

    def forget(self, session: HostSession) -> None:
        self._by_id.pop(session.id, None)
        if self._by_host.get(session.host) is session:
            del self._by_host[session.host]

    def close(self) -> None:
        for session in list(self._by_id.values()):
            session.over("the bridge ends")
        self._admission.nonces.close()


class AgentWire(asyncio.Protocol):
    """One TLS connection of an agent."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._transport: asyncio.Transport | None = None
        self._session: HostSession | None = None
        self._begun = b""
        self._timer: asyncio.TimerHandle | None = None
        self.full = False

    @property
    def is_local(self) -> bool:
        """It comes from this machine."""
        assert self._transport is not None
        return ip_address(self._transport.get_extra_info("peername")[0]).is_loopback

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_BYTES)
        self._agents.greeting += 1
        self._timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, self.abort)
        if self._agents.greeting > GREETING_MAX:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.heard(self, data)
        elif self._timer is not None:
            self._greet(data)

    def _greet(self, data: bytes) -> None:
        self._begun += data
        try:
            found = first(AGENT_GREETS, self._begun, GREETING_BYTES_MAX)
        except BadFrame as error:
            self._greeted()
            self.refuse(str(error)[:200])
            return
        if found is None:
            return
        self._greeted()
        hello, rest = found
        take_in = self._agents.open(hello, self) if isinstance(hello, LinkOpen) else self._agents.resume(hello, self)
        self._session = take_in
        if take_in is not None and rest:
            take_in.heard(self, rest)

    def _greeted(self) -> None:
        self._begun = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._agents.greeting -= 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._greeted()
        if self._session is not None:
            self._session.lost(self)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self._session is not None:
            self._session.pump()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def refuse(self, why: str) -> None:
        _LOG.info("an agent's link is refused: %s", why)
        self.write(frame(LinkRefused(why=why[:256])))
        self.close()

    def close(self) -> None:
        """When all that was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
