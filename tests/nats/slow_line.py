"""A line for tests: a TCP proxy that lets so many bytes a second through each way, with a delay, and counts them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

CHUNK = 16 * 1024
QUEUE = 16
"""256 KiB on the way: the buffer of a home router."""


class Line:
    """port: where to connect. down_bytes, up_bytes: that came through. down_mbps, up_mbps: None for as fast as it goes; may be
    changed. delay_s: one way."""

    def __init__(self, port: int, down_mbps: float | None, up_mbps: float | None, delay_s: float) -> None:
        self.target, self.down_mbps, self.up_mbps, self.delay_s = port, down_mbps, up_mbps, delay_s
        self.port = 0
        self.down_bytes = self.up_bytes = 0
        self.open = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if not self.open:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        if not self.open:  # since then
            self.cut()
            return
        for source, sink, mbps, count in (
            (reader, back, lambda: self.up_mbps, self._count_up),
            (there, writer, lambda: self.down_mbps, self._count_down),
        ):
            task = asyncio.create_task(self._carry(source, sink, mbps, count))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """Every connection ends, and new ones are refused until `open`."""
        self.open = False
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _count_up(self, size: int) -> None:
        self.up_bytes += size

    def _count_down(self, size: int) -> None:
        self.down_bytes += size

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        mbps: Callable[[], float | None],
        count: Callable[[int], None],
    ) -> None:
        """Chunks wait in a queue for their turn and then for the delay; who fills the queue is made to wait."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE)

        async def send() -> None:
            while True:
                due_s, chunk = await queue.get()
                if (wait_s := due_s - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                sink.write(chunk)

        sending = asyncio.create_task(send())
        free_s = loop.time()
        try:
            while chunk := await source.read(CHUNK):
                count(len(chunk))
                free_s = max(free_s, loop.time())
                if (rate := mbps()) is not None:
                    free_s += len(chunk) * 8 / (rate * 1e6)
                await queue.put((free_s + self.delay_s, chunk))
        except OSError:
            pass
        finally:
            sending.cancel()
            sink.transport.abort()


@asynccontextmanager
async def line_to(
    port: int, *, down_mbps: float | None = None, up_mbps: float | None = None, delay_s: float = 0.0
) -> AsyncIterator[Line]:
    line = Line(port, down_mbps, up_mbps, delay_s)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0, limit=CHUNK)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        await line.close()
