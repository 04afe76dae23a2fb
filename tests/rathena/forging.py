"""A connection to the bridge that says whatever a test likes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Stranger:
    """heard: every byte it was told. ended: the other side closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.heard = bytearray()
        self.ended = False

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator["Stranger"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stranger = cls(reader, writer)
        hearing = asyncio.create_task(stranger._hear())
        try:
            yield stranger
        finally:
            hearing.cancel()
            writer.close()
            await asyncio.gather(hearing, return_exceptions=True)

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def _hear(self) -> None:
        while data := await self._reader.read(1 << 16):
            self.heard += data
        self.ended = True
