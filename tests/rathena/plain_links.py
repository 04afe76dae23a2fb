"""`MapLinks` for tests: each map's port on loopback, carried as it is to a char-server."""

import asyncio
import contextlib

from libs.events import MapName
from services.agent.maps.servers import OwnMapServers
from services.agent.maps.stream import StreamWatch

READ_BYTES = 64 * 1024


class PlainLinks:
    """upstream: (host, port). `cut` a map's link as a lost connection would be; while `refusing`, whoever dials is cut
    off. servers: who is told of it, set by the test."""

    servers: OwnMapServers

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self.refusing = False
        self._servers: dict[MapName, asyncio.Server] = {}
        self._carried: dict[MapName, set[asyncio.Task[None]]] = {}

    async def open(self, name: MapName, address: str, port: int) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks = self._carried.setdefault(name, set())
            tasks.add(task)
            try:
                await self._carry(name, reader, writer)
            except (OSError, asyncio.CancelledError):
                pass  # cut
            finally:
                tasks.discard(task)
                writer.close()

        server = self._servers[name] = await asyncio.start_server(serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    def close(self, name: MapName) -> None:
        if (server := self._servers.pop(name, None)) is not None:
            server.close()
        self.cut(name)

    def cut(self, name: MapName) -> None:
        for task in [*self._carried.get(name, ())]:
            task.cancel()

    async def _carry(self, name: MapName, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            return
        up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        watch = StreamWatch()

        said: list[object] = [False, 0]

        def tell() -> None:
            if watch.linked and not said[0]:
                self.servers.on_linked(name)
            if len(watch.accounts) != said[1]:
                self.servers.on_players(name, len(watch.accounts))
            said[:] = watch.linked, len(watch.accounts)

        async def up() -> None:
            while data := await reader.read(READ_BYTES):
                watch.up(data)
                self.servers.on_heard(name, len(data), 0)
                tell()
                up_writer.write(data)
                await up_writer.drain()

        async def down() -> None:
            while data := await up_reader.read(READ_BYTES):
                watch.down(data)
                self.servers.on_heard(name, 0, len(data))
                tell()
                writer.write(data)
                await writer.drain()

        ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            with contextlib.suppress(ConnectionError):
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up_writer.close()
            for way in ways:
                way.cancel()
            self.servers.on_gone(name)
            await asyncio.gather(*ways, return_exceptions=True)  # which a second cut may end
