"""A relay's I/O: listens for clients, connects to servers, keeps the connection to the bridge. Decides nothing (core, table).

The bridge may be away: players play on, new ones wait, and its next connection is told the whole table (DESIGN D5).
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from libs.config import Relay
from libs.link.dialer import Dialer
from libs.link.messages import BridgeHello, BridgeSays, Entered, Message, Stand
from libs.link.peer import split, words
from libs.link.seldom import Seldom
from services.relay import wire
from services.relay.back import DialBack
from services.relay.connections import ClientSide, ServerSide, Side
from services.relay.effects import Dial, Effect, EndClient, From, HangUp, Tell, ToClient, ToServer
from services.relay.reserve import NotReached
from services.relay.table import Counts, Table, obey

TICK_S: Final = 0.1
"""How exact the timeouts of a session are."""
BACKLOG: Final = 1024
"""A relay that starts again has all its players back at once."""
SERVER_CHOKED_S: Final = 10.0
"""A server that reads nothing of what its players send hangs."""
LINGERING_MAX: Final = 1_000
"""Goodbyes under way; beyond it connections are cut without."""
FAREWELL_S: Final = 3.0
_LOG = logging.getLogger(__name__)


class RelayShell:
    """context: for the bridge (libs/link/tls.client_context); None: no TLS. back: how hosts are reached, listening; None: none
    is. on_rtt(dial, ms): how long a server took to accept a connection. port: where it listens, once `listening` is set.
    on_bridge(connected): for readiness."""

    def __init__(
        self,
        settings: Relay,
        context: ssl.SSLContext | None = None,
        *,
        back: DialBack | None = None,
        counts: Counts | None = None,
        on_rtt: Callable[[Dial, float], None] = lambda _dial, _ms: None,
        on_bridge: Callable[[bool], None] = lambda _: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.table = Table(settings, counts or Counts())
        self.counts = self.table.counts
        self.listening = asyncio.Event()
        self.port = 0
        self.lingering: set[Side] = set()
        self._seldom = Seldom()
        self._clients: dict[int, ClientSide] = {}
        self._empty = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._back, self._on_rtt, self._on_turn, self._told_bridge = back, on_rtt, on_turn, on_bridge
        self._bridge: Dialer[BridgeHello | Message] = Dialer(
            settings.bridge,
            context,
            BridgeSays,
            hello=self.table.hello,
            on_message=self._on_message,
            on_change=self._on_bridge,
        )

    async def run(self, stopped: asyncio.Event) -> None:
        """Until `stopped`; then every client is told and closed.

        Raises:
            OSError: the address to listen on cannot be had.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: ClientSide(self), *split(self.settings.listen), backlog=BACKLOG)
        self.port = server.sockets[0].getsockname()[1]
        try:
            async with self._tasks as tasks:
                running = [tasks.create_task(self._bridge.run()), tasks.create_task(self._tick())]
                if self._back is not None:
                    running.append(tasks.create_task(self._back.run()))
                self.listening.set()
                await stopped.wait()
                server.close()
                await self._farewell()
                for task in running:
                    task.cancel()
        finally:
            server.close()

    @property
    def connected(self) -> bool:
        """To the bridge."""
        return self._bridge.connected

    # -- from the connections ---------------------------------------------------------------------------------------------

    def on_client(self, client: ClientSide) -> None:
        assert client.transport is not None
        peer = client.transport.get_extra_info("peername")
        address = None if self.settings.proxy_protocol else str(peer[0]) if peer else ""
        client.session = self.table.open(address, monotonic() * 1000)
        self._clients[client.session.player.conn] = client
        self._empty.clear()
        refused = self.table.admit(client.session) or self.table.count(client.session, address or "")
        self.perform(client, refused)
        if refused and len(self.lingering) > LINGERING_MAX:
            client.abort()

    def on_client_gone(self, client: ClientSide) -> None:
        self.table.close(client.session)
        self._clients.pop(client.session.player.conn, None)
        if not self._clients:
            self._empty.set()

    def run_session(self, client: ClientSide, handler: Callable[..., Sequence[Effect]], *inputs: object) -> None:
        """One input of a session, and what follows. A bug costs one player his connection, not everybody."""
        try:
            self.perform(client, handler(*inputs))
        except Exception:  # noqa: BLE001 - the middleware
            self.bug(client)

    def perform(self, client: ClientSide, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if type(effect) is ToClient:
                transport = client.transport
                if transport is not None and not transport.is_closing():
                    transport.write(effect.data)
            elif type(effect) is ToServer:
                transport = client.server.transport if client.server is not None else None
                if transport is not None and not transport.is_closing():
                    transport.write(effect.data)
            elif isinstance(effect, Tell):
                self.table.note(effect.message)
                self._bridge.say(effect.message)
                if type(effect.message) is Entered and not effect.message.ok:
                    self._not_taken(client, effect.message.reason)
            elif isinstance(effect, HangUp):
                self._hang_up(client, orderly=effect.orderly)
            elif isinstance(effect, Dial):
                self._dial(client, effect)
            elif isinstance(effect, EndClient):
                _LOG.info("connection %d ends: %s", client.session.player.conn, effect.reason)
                client.say_goodbye()
            elif isinstance(effect, From) and (refused := self.table.count(client.session, effect.address)):
                self.perform(client, refused)
                return

    def _not_taken(self, client: ClientSide, why: str) -> None:
        """Who is held until some server takes him is tried often: of each server and reason it is said now and then."""
        serve = client.session.player.serve
        server = serve.server if serve is not None else ""
        if self._seldom.may(f"{server} {why}", int(monotonic() * 1000)):
            _LOG.warning("%s does not take a player: %s", server, why)

    def _on_bridge(self, connected: bool) -> None:
        if not connected:
            self.table.on_bridge_lost(monotonic() * 1000)
        self._told_bridge(connected)

    def _on_message(self, message: Message) -> None:
        if isinstance(message, BridgeHello):
            _LOG.info("bridge %s, incarnation %s", message.bridge, message.incarnation)
            return
        if isinstance(message, Stand):
            if self._back is not None:
                self._back.reserve.wish(message)
            return
        client = self._clients.get(getattr(message, "conn", 0))
        if client is not None:
            self.run_session(client, obey, client.session, message, monotonic() * 1000)

    def bug(self, client: ClientSide) -> None:
        self.counts.bugs += 1
        _LOG.exception("bug: connection %d is given up", client.session.player.conn)
        self.perform(client, client.session.end("a bug of the relay"))
        client.abort()

    # -- servers ----------------------------------------------------------------------------------------------------------

    def _dial(self, client: ClientSide, dial: Dial) -> None:
        assert client.server is None, "the session hangs up first"
        client.server = server = ServerSide(self, client, dial.switch)
        reach = self._call if dial.key else self._connect
        server.attempt = self._tasks.create_task(reach(client, server, dial))

    async def _connect(self, client: ClientSide, server: ServerSide, dial: Dial) -> None:
        loop = asyncio.get_running_loop()
        started_s = monotonic()
        try:
            async with asyncio.timeout(self.settings.connect_timeout_ms / 1000):
                await loop.create_connection(lambda: server, dial.address, dial.port)
        except TimeoutError:
            server.lost("no connection in time")
        except OSError as error:
            server.lost(f"no connection: {words(error)}")
        except ValueError:  # a name the resolver cannot even look up
            server.lost("no connection: a wrong address")
        else:
            if server.client is not None:
                self._on_rtt(dial, (monotonic() - started_s) * 1000)
                self.run_session(client, client.session.on_server_open, dial.switch)

    async def _call(self, client: ClientSide, server: ServerSide, dial: Dial) -> None:
        """To a host: its agent has to come, or to let us in."""
        try:
            if self._back is None:
                raise NotReached("no host can dial this relay")
            async with asyncio.timeout(self.settings.connect_timeout_ms / 1000):
                reached = await self._back.reach(server, dial)
        except (TimeoutError, NotReached) as error:
            self.counts.dials_failed += 1
            server.lost(str(error) or "the host did not come in time")
            return
        except Exception:  # noqa: BLE001 - the middleware
            self.bug(client)
            return
        self.counts.dialled += 1
        if reached.rtt_ms is not None:
            self._on_rtt(dial if reached.direct else Dial(dial.switch, dial.server, "", 0), reached.rtt_ms)
        if not reached.begun:
            self.run_session(client, client.session.on_server_open, dial.switch)

    def _hang_up(self, client: ClientSide, *, orderly: bool) -> None:
        server, client.server = client.server, None
        client.let_read(allowed=True)
        if server is None:
            return
        server.client = None
        if server.transport is None:
            server.attempt.cancel()
        elif orderly:
            server.say_goodbye()
        else:
            server.abort()

    # -- time -------------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._on_turn()
            now_s = monotonic()
            for client in list(self._clients.values()):
                self._tick_one(client, now_s)
            for side in [side for side in self.lingering if now_s > side.deadline_s]:
                side.abort()

    def _tick_one(self, client: ClientSide, now_s: float) -> None:
        self.run_session(client, client.session.on_tick, now_s * 1000)
        if client.choked_s is not None and now_s - client.choked_s > self.settings.idle_timeout_s:
            self.run_session(client, client.session.on_client_lost, "the client does not read")
        server = client.server
        if server is not None and server.choked_s is not None and now_s - server.choked_s > SERVER_CHOKED_S:
            server.abort()

    async def _farewell(self) -> None:
        for client in list(self._clients.values()):
            self.run_session(client, client.session.end, "the relay ends", wire.CODE_SERVER_CLOSED)
        if self._clients:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), FAREWELL_S)
        for side in [*self._clients.values(), *self.lingering]:
            side.abort()
