"""The sockets of a client and of its server. Bytes go to the session, its effects come here; nothing is decided.

Raw protocols, for speed: one call for what was read, one write of the very bytes. Who does not read stops whoever writes to
him: each side has at most HIGH_WATER_BYTES and a chunk waiting. Only the welcome of a new server does not wait for a client
that does not read.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from services.relay.core import Session
from services.relay.phase import Phase

if TYPE_CHECKING:
    from services.relay.shell import RelayShell

HIGH_WATER_BYTES: Final = 256 * 1024
"""A server's largest burst is an entry of some 50 KB; a client on a slow line gets it over seconds."""
LOW_WATER_BYTES: Final = 64 * 1024
LINGER_S: Final = 1.0
"""How long the other end may take to close after we did: milliseconds, unless it hangs."""


class Side(asyncio.Protocol):
    """One end. choked_s: since when it does not read, None: it does. deadline_s: when a goodbye has lasted long enough."""

    def __init__(self, shell: "RelayShell") -> None:
        self.shell = shell
        self.transport: asyncio.Transport | None = None
        self.choked_s: float | None = None
        self.deadline_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)

    def say_goodbye(self) -> None:
        """What is written goes out, then FIN; the other end's FIN is awaited, so that it reads what we said last. Closing at
        once would reset the connection if something of it was still unread here."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self.deadline_s = monotonic() + LINGER_S
        self.shell.lingering.add(self)
        self.let_read(allowed=True)
        try:
            transport.write_eof()
        except (OSError, RuntimeError):  # its connection broke in this very moment
            transport.abort()

    def let_read(self, *, allowed: bool) -> None:
        """Whether we read what it says."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            if allowed:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class ServerSide(Side):
    """client: whose; None: hung up, nothing of it is wanted, but its end."""

    def __init__(self, shell: "RelayShell", client: "ClientSide", switch: int) -> None:
        super().__init__(shell)
        self.client: ClientSide | None = client
        self.session, self.switch = client.session, switch
        self.attempt: asyncio.Task[None]
        self._owner = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.client is None:
            self.abort()

    def data_received(self, data: bytes) -> None:
        client, shell = self.client, self.shell
        if client is None:
            return
        shell.counts.bytes_to_clients += len(data)
        try:
            shell.perform(client, self.session.on_server(self.switch, data, monotonic() * 1000))
        except Exception:  # noqa: BLE001 - the middleware
            shell.bug(client)
        if client.choked_s is not None and self.client is not None and self.session.phase is not Phase.ENTERING:
            self.let_read(allowed=False)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost("it closed the connection" if error is None else "the connection broke")

    def lost(self, reason: str) -> None:
        """Once, whoever finds it first."""
        owner = self._owner
        self.shell.lingering.discard(self)
        if owner.server is self:
            owner.server = None
            owner.let_read(allowed=True)
        self.client = None
        self.shell.run_session(owner, self.session.on_server_lost, self.switch, reason, monotonic() * 1000)

    def pause_writing(self) -> None:
        self.choked_s = monotonic()
        if self.client is not None:
            self.client.let_read(allowed=False)

    def resume_writing(self) -> None:
        self.choked_s = None
        if self.client is not None:
            self.client.let_read(allowed=True)


class ClientSide(Side):
    session: Session

    def __init__(self, shell: "RelayShell") -> None:
        super().__init__(shell)
        self.server: ServerSide | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.shell.on_client(self)

    def data_received(self, data: bytes) -> None:
        shell = self.shell
        shell.counts.bytes_to_servers += len(data)
        try:
            shell.perform(self, self.session.on_client(data, monotonic() * 1000))
        except Exception:  # noqa: BLE001 - the middleware
            shell.bug(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self.shell.lingering.discard(self)
        self.shell.run_session(self, self.session.on_client_lost)
        self.shell.on_client_gone(self)

    def pause_writing(self) -> None:
        self.choked_s = monotonic()
        if self.server is not None:
            self.server.let_read(allowed=False)

    def resume_writing(self) -> None:
        self.choked_s = None
        if self.server is not None:
            self.server.let_read(allowed=True)
