"""A relay on loopback with everything around it scripted: a bridge over TLS, map-servers, clients. All real sockets.

`async with lab(tmp_path) as town:` then `client = await town.client()`, `town.bridge.say(...)`, `town.server`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from libs.config import Relay
from libs.link.certifying import make_authority
from libs.link.messages import Arrived, BridgeHello, Message, RelayHello, RelaySays, Serve
from libs.link.peer import Listening, Peer, serve
from libs.link.tls import BRIDGE, RELAY, client_context, server_context
from libs.rathena.framing import CLIENT_TO_MAP, MAP_TO_CLIENT, Splitter, Table
from services.relay.back import DialBack
from services.relay.shell import RelayShell
from services.relay.table import Counts
from tests.rathena.relay_words import ENTER, LOADED, map_move, welcome
from tests.rathena.relay_words import serve as serve_words

WAIT_S = 10.0
M = TypeVar("M", bound=Message)


class News:
    """Waits for conditions; woken by whatever happens."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Raises: TimeoutError."""
        async with asyncio.timeout(WAIT_S):
            while not (found := condition()):
                await self._woken()
            return found

    async def _woken(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with self._changed:
                await asyncio.wait_for(self._changed.wait(), 0.01)


class End(asyncio.Protocol):
    """One end of a connection: the packets it got, in order. on_packet: what it answers."""

    def __init__(self, table: Table, news: News, on_packet: Callable[["End", bytes], None] = lambda *_: None) -> None:
        self._splitter, self._news, self._on_packet = Splitter(table), news, on_packet
        self.packets: list[bytes] = []
        self.bytes = 0
        self.eof = self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        for packet in self._splitter.feed(data):
            self.packets.append(packet)
            self._on_packet(self, packet)

    def eof_received(self) -> bool:
        self.eof = True
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True

    def say(self, data: bytes) -> None:
        self.transport.write(data)

    def cut(self) -> None:
        if not self.gone:
            self.transport.abort()

    async def got(self, packet: bytes) -> None:
        await self._news.until(lambda: packet in self.packets)

    async def until_gone(self) -> None:
        await self._news.until(lambda: self.gone)

    @property
    def unfinished(self) -> int:
        return self._splitter.pending


class Server:
    """A map-server: welcomes who says 0436. answer: to 0436; empty: it says nothing. ends: its connections, oldest first."""

    def __init__(self, news: News, answer: bytes = welcome()) -> None:
        self._news, self.answer = news, answer
        self.ends: list[End] = []
        self.port = 0

    async def start(self) -> "Server":
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def _accept(self) -> End:
        self.ends.append(End(CLIENT_TO_MAP, self._news, self._hear))
        return self.ends[-1]

    def _hear(self, end: End, packet: bytes) -> None:
        if packet[:2] == ENTER[:2] and self.answer:
            end.say(self.answer)

    @property
    def last(self) -> End:
        return self.ends[-1]

    def stop(self) -> None:
        self._server.close()

    def kill(self) -> None:
        """As a process that dies."""
        self.stop()
        for end in self.ends:
            end.cut()


class Bridge:
    """Hears relays. told: what they said, oldest first."""

    def __init__(self, news: News) -> None:
        self._news = news
        self.told: list[Message] = []
        self.peer: Peer[Any] | None = None
        self.port = 0

    async def start(self, context: Any, port: int = 0) -> None:
        self._listening: Listening = await serve(f"127.0.0.1:{port}", context, RelaySays, self._on_peer)
        self.port = self._listening.port

    def _on_peer(self, peer: Peer[Any]) -> "Bridge":
        self.peer = peer
        peer.say(BridgeHello(bridge="bridge", incarnation="1"))
        return self

    def on_message(self, message: Message) -> None:
        self.told.append(message)

    def on_lost(self, reason: str) -> None:
        self.peer = None

    def say(self, message: Message) -> None:
        assert self.peer is not None
        assert self.peer.say(message)

    async def hears(self, kind: type[M], after: int = 0, **fields: object) -> M:
        """The first message of this kind with these values."""

        def found() -> M | None:
            kinds = [message for message in self.told[after:] if isinstance(message, kind)]
            return next((m for m in kinds if all(getattr(m, name) == value for name, value in fields.items())), None)

        message: M = await self._news.until(found)
        return message

    async def close(self) -> None:
        await self._listening.close()


@dataclass
class Lab:
    shell: RelayShell
    bridge: Bridge
    news: News
    server_tls: Any
    servers: list[Server] = field(default_factory=list)
    clients: list[End] = field(default_factory=list)
    rtts_ms: list[tuple[str, float]] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        return self.shell.counts

    async def server(self, answer: bytes = welcome()) -> Server:
        self.servers.append(await Server(self.news, answer).start())
        return self.servers[-1]

    async def client(self, *, says: bytes = ENTER, loads: bool = True) -> End:
        """loads: it answers 02eb and 0091 with 007d."""

        def hear(end: End, packet: bytes) -> None:
            if loads and packet[:2] in (welcome()[10:12], map_move("a", 1, 1)[:2]):
                end.say(LOADED)

        end = End(MAP_TO_CLIENT, self.news, hear)
        await asyncio.get_running_loop().create_connection(lambda: end, "127.0.0.1", self.shell.port)
        self.clients.append(end)
        end.say(says)
        return end

    def to(self, at: Server, switch: int, conn: int, **more: Any) -> Serve:
        return serve_words(switch, conn, address="127.0.0.1", port=at.port, **more)

    async def player(self, server: Server, **more: Any) -> tuple[End, int]:
        """A client in the game on this server, and its number."""
        before = len(self.bridge.told)
        client = await self.client(**more)
        conn = (await self.bridge.hears(Arrived, before)).conn
        self.bridge.say(self.to(server, 1, conn))
        await client.got(welcome()[10:])
        return client, conn

    async def restart_bridge(self) -> None:
        port = self.bridge.port
        await self.bridge.close()
        self.bridge.told.clear()
        await self.bridge.start(self.server_tls, port)


@contextlib.asynccontextmanager
async def lab(
    directory: Path, *, back: DialBack | None = None, counts: Counts | None = None, **settings: Any
) -> AsyncIterator[Lab]:
    """settings: of the relay; also outside the ranges an operator may choose, since tests do not wait."""
    made = make_authority(directory)
    tls, news = server_context(made[BRIDGE]), News()
    bridge = Bridge(news)
    await bridge.start(tls)
    asked = {"listen": "127.0.0.1:0", "bridge": f"127.0.0.1:{bridge.port}", "region": "eu"} | settings
    rtts_ms: list[tuple[str, float]] = []
    shell = RelayShell(
        Relay().model_copy(update=asked),
        client_context(made[RELAY]),
        back=back,
        counts=counts,
        on_rtt=lambda dial, ms: rtts_ms.append((dial.server, ms)),
    )
    stopped = asyncio.Event()
    running = asyncio.ensure_future(shell.run(stopped))
    town = Lab(shell, bridge, news, tls, rtts_ms=rtts_ms)
    try:
        await asyncio.wait_for(shell.listening.wait(), WAIT_S)
        await bridge.hears(RelayHello)
        yield town
    finally:
        for end in town.clients:
            end.cut()
        for server in town.servers:
            server.kill()
        stopped.set()
        await asyncio.wait_for(running, WAIT_S)
        await bridge.close()
