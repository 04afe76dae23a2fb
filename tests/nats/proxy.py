"""TCP between a client and its server that can break: cut (both ends see it), stalled (nobody sees anything), barred for a
while. Called by tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

CHUNK = 64 * 1024
CLOSE_TIMEOUT_S = 5.0


class Proxy:
    """`url`: to connect to instead of `target`."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 4222)
        self._flows = asyncio.Event()
        self._flows.set()
        self._barred = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut(bar=True)
        self.go_on()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)

    def stall(self) -> None:
        """Packets vanish; connections stand. What is said meanwhile arrives after `go_on`."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def cut(self, *, bar: bool = False) -> None:
        """Every connection ends. bar: and none is made until `open`."""
        self._barred = bar
        for writer in self._writers:
            writer.transport.abort()

    def open(self) -> None:
        self._barred = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            if self._barred:
                return
            back, onward = await asyncio.open_connection(*self._target)
            self._writers.add(onward)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, onward))
                group.create_task(self._carry(back, writer))
        except (OSError, ExceptionGroup):
            pass  # one side ended: so does the other
        finally:
            for each in (writer, onward):
                if each is not None:
                    self._writers.discard(each)
                    each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionError("it ended")


@contextlib.asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    made = Proxy(target)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
