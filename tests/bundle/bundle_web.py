"""A web server of static files that goes wrong as told: cuts, stalls, knows no ranges, answers with something else."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 1 << 14


@dataclass(frozen=True)
class Fault:
    """Of one answer. cut: the connection ends after so many bytes of the body. ranges: it knows them. says: the first byte of
    what it sends, as it says. status: it says this. body: instead of the file. stall: it says nothing, for ever. header: one
    more line."""

    cut: int | None = None
    ranges: bool = True
    says: int | None = None
    status: int | None = None
    body: bytes | None = None
    stall: bool = False
    header: str = ""


Faults = Callable[[str, int], Fault | None]


@dataclass
class Web:
    """asked: (path, first byte asked for), in order. sent: bytes of bodies."""

    url: str
    directory: Path
    faults: Faults
    asked: list[tuple[str, int]] = field(default_factory=list)
    sent: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False: the connection ends."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1].lstrip("/")
        ranges = [line for line in head if line.lower().startswith("range: bytes=")]
        begin = int(ranges[0].partition("=")[2].rstrip("-")) if ranges else 0
        count = sum(name == path for name, _ in self.asked)
        self.asked.append((path, begin))
        fault = self.faults(path, count) or Fault()
        if fault.stall:
            await reader.read()
            return False
        at = self.directory / path
        data = fault.body if fault.body is not None else at.read_bytes() if at.is_file() else None
        status = fault.status or (404 if data is None else 200)
        body, extra = data or b"", fault.header
        if status == 200 and begin and fault.ranges:
            status = 206 if begin < len(body) else 416
            said = begin if fault.says is None else fault.says
            extra += f"Content-Range: bytes {said}-{len(body) - 1}/{len(body)}\r\n"
            body = body[begin:] if status == 206 else b""
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode())
        for start in range(0, len(body), PIECE):
            piece = body[start : start + PIECE]
            left = None if fault.cut is None else fault.cut - start
            writer.write(piece if left is None else piece[: max(0, left)])
            self.sent += len(piece) if left is None else max(0, min(left, len(piece)))
            await writer.drain()
            if left is not None and left <= len(piece):
                writer.transport.close()  # all that was written still goes
                return False
        await writer.drain()
        return True


@asynccontextmanager
async def web(
    directory: Path, faults: Faults = lambda _path, _count: None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Web]:
    """Serving, on a free port of loopback; tls: https, of localhost."""
    made = Web("", directory, faults)
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0, ssl=tls)
    at = "http://127.0.0.1" if tls is None else "https://localhost"
    made.url = f"{at}:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
