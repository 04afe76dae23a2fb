"""A TCP proxy on loopback that cuts what goes through it: as a router that forgets connections, or as a line gone silent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """port: where it listens. to: the port it leads to. carried: bytes, both ways."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = 0
        self.carried = 0
        self.made = 0
        self._open = asyncio.Event()
        self._open.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refuses = False

    @classmethod
    @asynccontextmanager
    async def running(cls, to: int) -> AsyncIterator["Proxy"]:
        proxy = cls(to)
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy._refuses = True
            proxy._open.set()
            proxy.reset()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Every connection is reset, at both ends."""
        for pair in list(self._pairs):
            for writer in pair:
                writer.transport.abort()

    async def cut(self, seconds: float) -> None:
        """Connections are reset, and new ones too, for so long."""
        self._refuses = True
        self.reset()
        await asyncio.sleep(seconds)
        self._refuses = False

    async def silence(self, seconds: float) -> None:
        """Nothing is carried, and nobody is told, for so long."""
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._open.wait()
            if self._refuses:
                writer.transport.abort()
                return
            self.made += 1
            with contextlib.suppress(OSError):
                other_reader, other = await asyncio.open_connection("127.0.0.1", self._to)
                pair = (writer, other)
                self._pairs.add(pair)
                both = [asyncio.ensure_future(self._carry(*way)) for way in ((reader, other), (other_reader, writer))]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                self._pairs.discard(pair)
                other.transport.abort()
                await asyncio.gather(*both)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                self.carried += len(data)
                writer.write(data)
                await writer.drain()
