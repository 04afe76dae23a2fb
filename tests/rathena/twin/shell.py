"""Runs a twin's core over TCP: accepts, dials, splits streams, keeps the timer, performs effects. The only I/O of the twins."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol, cast

from libs.rathena.framing import BadStream, Splitter
from libs.rathena.tables import Table
from tests.rathena.twin.effects import Cut, Dial, Effect, Exit, Send

BUFFER_BYTES_MAX: Final = 64 << 20
"""A peer that reads nothing (SIGSTOP) costs its connection at this: seven entries of 50 players."""
DIAL_TIMEOUT_S: Final = 5.0


class Core(Protocol):
    """What every twin's core offers."""

    def received(self, link: int, packet: bytes, now_ms: int) -> list[Effect]: ...
    def closed(self, link: int, now_ms: int) -> list[Effect]: ...
    def advance(self, now_ms: int) -> list[Effect]: ...
    def due_ms(self) -> int: ...


class _Connection(asyncio.Protocol):
    """One connection of one twin."""

    def __init__(self, shell: "Shell", link: int, table: Table) -> None:
        self.shell, self.link = shell, link
        self.splitter = Splitter(table)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.shell.opened(self)

    def data_received(self, data: bytes) -> None:
        self.shell.record(self.link, "in", data)
        try:
            packets = self.splitter.feed(data)
        except BadStream as bad:
            self.shell.broken(self, bad)
            return
        self.shell.arrived(self, packets)

    def connection_lost(self, exc: Exception | None) -> None:
        self.shell.lost(self)


class Shell:
    """link_table: what the peers of accepted connections say; dial_table: what those say that the core dials. local_ip: where
    dialled connections come from. records: a directory for every byte, a file for each connection and direction."""

    def __init__(
        self,
        core: Core,
        link_table: Table,
        dial_table: Table | None = None,
        *,
        local_ip: str | None = None,
        records: Path | None = None,
    ) -> None:
        self.core = core
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.broken_streams: list[BadStream] = []
        self.changed = asyncio.Event()
        self._link_table, self._dial_table = link_table, dial_table or link_table
        self._connections: dict[int, _Connection] = {}
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._dials: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = -1
        self._loop = asyncio.get_running_loop()
        self._started = time.monotonic()
        self._local = (local_ip, 0) if local_ip else None
        self._records = records

    def now_ms(self) -> int:
        return int((time.monotonic() - self._started) * 1_000)

    def record(self, link: int, direction: str, data: bytes) -> None:
        if self._records is not None:
            with (self._records / f"{os.getpid()}-{link}.{direction}").open("ab") as file:
                file.write(data)

    async def listen(self, host: str, port: int) -> int:
        """The port. Accepted connections have numbers from 1."""
        make = lambda: _Connection(self, next(self._numbers), self._link_table)  # noqa: E731
        self._server = await self._loop.create_server(make, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    def run(self, effects: list[Effect]) -> None:
        """Performs them, packets to one peer in one write; then sets the timer."""
        pending: dict[int, list[bytes]] = {}
        for effect in effects:
            if isinstance(effect, Send):
                pending.setdefault(effect.to, []).append(effect.data)
            else:
                self._write(pending)
                self._perform(effect)
        self._write(pending)
        self._schedule()
        self.changed.set()

    def opened(self, connection: _Connection) -> None:
        self._connections[connection.link] = connection
        hear: Callable[[int, int], list[Effect]] | None = getattr(self.core, "opened", None)
        self.run(hear(connection.link, self.now_ms()) if hear else [])

    def arrived(self, connection: _Connection, packets: list[bytes]) -> None:
        if self._connections.get(connection.link) is not connection:
            return
        now_ms, effects = self.now_ms(), []
        for packet in packets:
            effects += self.core.received(connection.link, packet, now_ms)
        self.run(effects)

    def broken(self, connection: _Connection, bad: BadStream) -> None:
        """An unknown id: cut, as the stock servers do."""
        self.broken_streams.append(bad)
        if connection.transport is not None:
            connection.transport.abort()

    def lost(self, connection: _Connection) -> None:
        if self._connections.get(connection.link) is connection:
            del self._connections[connection.link]
            self.run(self.core.closed(connection.link, self.now_ms()))

    def abort(self, link: int) -> None:
        """A reset, as from a peer that died."""
        connection = self._connections.get(link)
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for dial in list(self._dials):
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        connections, self._connections = list(self._connections.values()), {}
        for connection in connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)  # connection_lost of the aborted

    async def drained(self, timeout_s: float = 2.0) -> None:
        """Every connection has taken what was said and is closed, or the time is up."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: not self._connections, timeout_s)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        """Raises: TimeoutError where the condition does not come true. It is asked again after everything that happens."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def _write(self, pending: dict[int, list[bytes]]) -> None:
        for link, parts in pending.items():
            connection = self._connections.get(link)
            if connection is None or connection.transport is None or connection.transport.is_closing():
                continue
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self.record(link, "out", data)
            connection.transport.write(data)
            if connection.transport.get_write_buffer_size() > BUFFER_BYTES_MAX:
                connection.transport.abort()
        pending.clear()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Cut):
            connection = self._connections.get(effect.to)
            if connection is not None and connection.transport is not None:
                connection.transport.close()
        elif isinstance(effect, Dial):
            self._connections.pop(effect.to, None)
            task = self._loop.create_task(self._dial(effect))
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)
        elif isinstance(effect, Exit) and not self.exited.done():
            self.exited.set_result(effect)

    async def _dial(self, dial: Dial) -> None:
        make = lambda: _Connection(self, dial.to, self._dial_table)  # noqa: E731
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await self._loop.create_connection(make, dial.ip, dial.port, local_addr=self._local)
        except (OSError, TimeoutError):
            self.run(self.core.closed(dial.to, self.now_ms()))

    def _schedule(self) -> None:
        due_ms = self.core.due_ms()
        if due_ms == self._timer_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ms = due_ms
        self._timer = self._loop.call_later(max(0, due_ms - self.now_ms()) / 1_000, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_ms = None, -1
        self.run(self.core.advance(self.now_ms()))
