"""Connections that cross a relay or a proxy, both ends here: a game client's and its map-server's, as blocking sockets.

Blocking, so that what is measured is the process between them and no event loop of ours; the bridge lives in that.
"""

import asyncio
import contextlib
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import place
from bench.dial_end import HOST, MAP
from libs.link.messages import Arrived, BridgeHello, Entered, Message, RelaySays, Serve, Stand, Wished
from libs.link.peer import Peer, serve
from libs.rathena.client import AcceptEnter, AccountIdAck, Enter, InventoryExpansion
from libs.rathena.values import Cell

ENTER = Enter(account_id=2_000_001, char_id=150_001, login_id1=1, sex=1).pack()
WELCOME = (
    AccountIdAck(account_id=2_000_001).pack() + InventoryExpansion().pack() + AcceptEnter(server_tick=1, pos=Cell(1, 1)).pack()
)
LOADED = b"\x7d\x00"
TIMEOUT_S = 30.0
BUFFER_BYTES = 1 << 20
AGAIN_S = 0.1
Pair = tuple[socket.socket, socket.socket]
"""A client's socket and its server's."""


class Crossing:
    """enters: whether a client says 0436 first, as a relay expects it; a proxy expects nothing."""

    def __init__(self, port: int, server: socket.socket, process: psutil.Process | None, *, enters: bool) -> None:
        self.port, self.process = port, process
        self._server, self._enters = server, enters

    def pair(self) -> Pair:
        """Connected through the process, the player in the game. Blocks."""
        client = _ready(socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S))
        if self._enters:
            client.sendall(ENTER)
        server = _ready(self._server.accept()[0])
        if self._enters:
            take(server, len(ENTER))
            server.sendall(WELCOME)
            take(client, len(WELCOME))
            client.sendall(LOADED)
            take(server, len(LOADED))
        return client, server


def _ready(connection: socket.socket) -> socket.socket:
    connection.settimeout(TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def take(connection: socket.socket, size: int) -> None:
    """Raises: TimeoutError, or EOFError if it ended."""
    while size:
        got = len(connection.recv(size))
        if not got:
            raise EOFError("the connection ended")
        size -= got


class _Bridge:
    """Serves every player from the one server there is. key: of the agent process that has to bring them there. standing: how
    many connections shall stand between it and the relay."""

    def __init__(self, server_port: int, key: str = "", standing: int = 0) -> None:
        self._server_port, self._key, self._standing = server_port, key, standing
        self._peer: Peer[Any] | None = None

    def on_peer(self, peer: Peer[Any]) -> "_Bridge":
        self._peer = peer
        peer.say(BridgeHello(bridge="bench", incarnation="1"))
        if self._standing:
            peer.say(Stand(hosts=[Wished(host=HOST, key=self._key, count=self._standing)]))
        return self

    def on_message(self, message: Message) -> None:
        if isinstance(message, Entered) and not message.ok:  # its relay or agent has just been started
            asyncio.get_running_loop().call_later(AGAIN_S, self._serve, message.conn, message.switch + 1)
        elif isinstance(message, Arrived):
            self._serve(message.conn, 1)

    def _serve(self, conn: int, switch: int) -> None:
        if self._peer is not None:
            self._peer.say(
                Serve(
                    conn=conn,
                    switch=switch,
                    server=f"{HOST}/{MAP}" if self._key else "core",
                    tenure=0,
                    address="" if self._key else "127.0.0.1",
                    port=0 if self._key else self._server_port,
                    key=self._key,
                    enter=ENTER,
                    login_id1=1,
                    login_id2=2,
                    resume=False,
                    map="prontera",
                    x=1,
                    y=1,
                )
            )

    def on_lost(self, reason: str) -> None:  # noqa: ARG002
        self._peer = None


@contextlib.contextmanager
def _listening() -> Any:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        server.settimeout(TIMEOUT_S)
        yield server


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def relay() -> AsyncIterator[Crossing]:
    """A relay in its own process, with a bridge that serves everybody."""
    with _listening() as server:
        listening = await serve("127.0.0.1:0", None, RelaySays, _Bridge(server.getsockname()[1]).on_peer)
        port = _free_port()
        told = {
            "KAFRA__RELAY__LISTEN": f"127.0.0.1:{port}",
            "KAFRA__RELAY__HOSTS": "",
            "KAFRA__RELAY__BRIDGE": f"127.0.0.1:{listening.port}",
            "KAFRA__RELAY__MAX_CONNECTIONS_PER_ADDRESS": "5000",
        }
        try:
            async with place.process("relay", "services.relay", url="nats://127.0.0.1:1", more=told) as process:
                yield Crossing(port, server, process, enters=True)
        finally:
            await listening.close()


@contextlib.asynccontextmanager
async def dialled(standing: int = 0) -> AsyncIterator[Crossing]:
    """A relay in its own process, an agent in another that dials it for everybody, and a bus by which it is asked. standing:
    so many connections are between them before."""
    async with contextlib.AsyncExitStack() as ends:
        url = await ends.enter_async_context(place.server())
        server = ends.enter_context(_listening())
        file = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="kafra-bench-"))) / "key"
        argv = ("bench.dial_end", url, str(server.getsockname()[1]), str(file))
        await ends.enter_async_context(place.process("agent", *argv, url=url))
        key = await asyncio.to_thread(file.read_text, encoding="ascii")
        bridge = _Bridge(server.getsockname()[1], key, standing)
        listening = await serve("127.0.0.1:0", None, RelaySays, bridge.on_peer)
        ends.push_async_callback(listening.close)
        port, door = _free_port(), _free_port()
        told = {
            "KAFRA__RELAY__LISTEN": f"127.0.0.1:{port}",
            "KAFRA__RELAY__HOSTS": f"127.0.0.1:{door}",
            "KAFRA__RELAY__BRIDGE": f"127.0.0.1:{listening.port}",
            "KAFRA__RELAY__MAX_CONNECTIONS_PER_ADDRESS": "5000",
        }
        process = await ends.enter_async_context(place.process("relay", "services.relay", url=url, more=told))
        async with asyncio.timeout(TIMEOUT_S):
            while await asyncio.to_thread(_connections, process, door) < standing:  # noqa: ASYNC110 - it is another process's
                await asyncio.sleep(AGAIN_S)
        yield Crossing(port, server, process, enters=True)


def _connections(process: psutil.Process, port: int) -> int:
    """How many it has at this port of its own."""
    found = process.net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in found)


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[Crossing]:
    """The bare proxy in its own process."""
    with _listening() as server:
        port = _free_port()
        argv = ("bench.proxy", str(port), str(server.getsockname()[1]))
        async with place.process("proxy", *argv, url="nats://127.0.0.1:1") as process:
            yield Crossing(port, server, process, enters=False)


@contextlib.asynccontextmanager
async def direct() -> AsyncIterator[Crossing]:
    """Nothing in between."""
    with _listening() as server:
        yield Crossing(server.getsockname()[1], server, None, enters=False)


Way = Callable[[], contextlib.AbstractAsyncContextManager[Crossing]]


def ping_pong_us(client: socket.socket, server: socket.socket, there: bytes, back: bytes, count: int) -> list[float]:
    """Round trips, one at a time."""
    samples = []
    for _ in range(count):
        started_s = time.perf_counter()
        client.sendall(there)
        take(server, len(there))
        server.sendall(back)
        take(client, len(back))
        samples.append((time.perf_counter() - started_s) * 1e6)
    return samples


@dataclass(frozen=True, slots=True)
class Poured:
    """bytes: that arrived. cpu_s: of the process in between."""

    bytes: int
    seconds: float
    cpu_s: float


class _Window:
    """Bytes under way, at most `size` and a chunk."""

    def __init__(self, size: int) -> None:
        self._size, self._under_way = size, 0
        self._room = threading.Condition()

    def enter(self, count: int) -> None:
        with self._room:
            while self._under_way >= self._size:
                if not self._room.wait(TIMEOUT_S):
                    raise TimeoutError("nothing arrives any more")
            self._under_way += count

    def leave(self, count: int) -> None:
        with self._room:
            self._under_way -= count
            self._room.notify()


def pour(pairs: Sequence[Pair], chunks: Sequence[bytes], rounds: int, window: int, process: psutil.Process) -> Poured:
    """Every server says all chunks, `rounds` times; `window` bytes of all together are under way at most. Blocks until every
    client has everything."""
    total = left = sum(map(len, chunks)) * rounds * len(pairs)
    window_ = _Window(window)

    def say() -> None:
        for _ in range(rounds):
            for chunk in chunks:
                for _, server in pairs:
                    window_.enter(len(chunk))
                    server.sendall(chunk)

    saying = threading.Thread(target=say, daemon=True)
    before_s, started_s = place.cpu_s(process), time.perf_counter()
    saying.start()
    buffer = bytearray(BUFFER_BYTES)
    with selectors.DefaultSelector() as selector:
        for client, _ in pairs:
            selector.register(client, selectors.EVENT_READ)
        while left:
            ready = selector.select(TIMEOUT_S)
            if not ready:
                raise TimeoutError("nothing arrives any more")
            got = 0
            for key, _ in ready:
                got += key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            left -= got
            window_.leave(got)
    seconds = time.perf_counter() - started_s
    saying.join(TIMEOUT_S)
    return Poured(total, seconds, place.cpu_s(process) - before_s)


async def pairs_of(crossing: Crossing, count: int) -> list[Pair]:
    return await asyncio.to_thread(lambda: [crossing.pair() for _ in range(count)])
