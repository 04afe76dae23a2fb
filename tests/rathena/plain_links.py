"""`MapLinks` for tests: each map's port on loopback, carried as it is to a char-server or a bridge that asks for no ticket."""

import asyncio
import contextlib

from libs.events import MapName
from libs.link.frames import frame
from libs.link.messages import LinkHello
from services.agent.maps.stream import StreamWatch
from services.agent.ports import LinkEar

READ_BYTES = 64 * 1024


class PlainLinks:
    """upstream: (host, port). host: the name said to a bridge first, none: to a char-server nothing is. `cut` a map's link as a
    lost connection would be; while `refusing`, whoever dials is cut off."""

    def __init__(self, upstream: tuple[str, int], host: str | None = None) -> None:
        self.upstream, self.host = upstream, host
        self.ports: dict[MapName, int] = {}
        self.refusing = False
        self._servers: dict[MapName, asyncio.Server] = {}
        self._carried: dict[MapName, set[asyncio.Task[None]]] = {}

    async def open(self, map_: MapName, port: int, ear: LinkEar) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks = self._carried.setdefault(map_, set())
            tasks.add(task)
            try:
                await self._carry(map_, ear, reader, writer)
            except (OSError, asyncio.CancelledError):
                pass  # cut
            finally:
                tasks.discard(task)
                writer.close()

        self.ports[map_] = port
        server = self._servers[map_] = await asyncio.start_server(serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    def close(self, map_: MapName) -> None:
        if (server := self._servers.pop(map_, None)) is not None:
            server.close()
        self.cut(map_)

    def cut(self, map_: MapName) -> None:
        for task in [*self._carried.get(map_, ())]:
            task.cancel()

    async def _carry(self, map_: MapName, ear: LinkEar, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            return
        up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        watch = StreamWatch(ear)
        if self.host is not None:
            up_writer.write(frame(LinkHello(host=self.host, map=map_, address="127.0.0.1", port=self.ports[map_])))

        async def up() -> None:
            while data := await reader.read(READ_BYTES):
                watch.up(data)
                up_writer.write(data)
                await up_writer.drain()

        async def down() -> None:
            while data := await up_reader.read(READ_BYTES):
                watch.down(data)
                writer.write(data)
                await writer.drain()

        ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            with contextlib.suppress(ConnectionError):
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.close()
            watch.gone()
