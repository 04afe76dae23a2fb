"""Gets a bundle's manifest and objects over HTTP: resumed where cut, never more than was said, never longer than allowed.

Nothing here is trusted: an object counts when its SHA-256 is the one in the signed manifest, and is unpacked only then.
"""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final, ParamSpec, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from libs.bundle.manifest import MANIFEST_BYTES_MAX, MANIFEST_NAME, Entry
from libs.bundle.refusal import Kind, Refused
from services.agent.bundle_report import Unavailable

CONNECT_TIMEOUT_S: Final = 10.0
SILENCE_S_MAX: Final = 20.0
"""Without a byte."""
MANIFEST_TIMEOUT_S: Final = 60.0
TRIES: Final = 6
"""In a row without a new byte; one that brought some starts the count anew."""
CUTS_MAX: Final = 200
"""Of one object, whatever they brought: a server that gives a byte at a time is none."""
AGAIN_S: Final = 0.25
AGAIN_S_MAX: Final = 8.0
CHUNK: Final = 64 * 1024
REDIRECTS_MAX: Final = 3
AT_ONCE: Final = 4
"""Connections: most files are small, and a round trip each would be most of the time."""
_OK, _PARTIAL, _NO_RANGE = 200, 206, 416
_FINAL: Final = frozenset({401, 403, 404, 410})


class Gone(Unavailable):
    """The server has no such file (any more)."""


P = ParamSpec("P")
R = TypeVar("R")
Told = Callable[[int], None]
"""Of bytes of an object: as they come, or are there; less than none where they go again."""


class Source:
    """One bundle's address. Made by `open_source`."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.shown = bare(url)
        self._base, self._session = url.rstrip("/"), session

    async def manifest(self) -> bytes:
        """
        Raises: Unavailable, Refused (too large).
        """
        said = ""
        for attempt in range(TRIES):
            await _pause(attempt)
            try:
                async with asyncio.timeout(MANIFEST_TIMEOUT_S), self._get(MANIFEST_NAME, 0) as response:
                    self._look_at(response, MANIFEST_NAME)
                    data = b""
                    async for chunk in response.content.iter_chunked(CHUNK):
                        data += chunk
                        if len(data) > MANIFEST_BYTES_MAX:
                            raise Refused(Kind.TOO_MUCH, f"the manifest is larger than {MANIFEST_BYTES_MAX} bytes")
                    return data
            except (aiohttp.ClientError, TimeoutError) as error:
                said = _said(error)
        raise Unavailable(f"{self.shown}: {said}")

    async def fetch(self, entry: Entry, part: "Part", told: Told) -> None:
        """The whole object in `part`, its hash the one that was signed; what is there already is not fetched again.

        Raises: Unavailable, Refused (another content than was signed), OSError (the disk).
        """
        resumed = await self._complete(entry, part, told)
        if await to_its_end(part.digest) == entry.packed_sha256:
            return
        part.drop()
        if resumed:  # what was here before may be damaged, not what came: once more, all of it
            told(-entry.packed_size)
            await self._complete(entry, part, told)
            if await to_its_end(part.digest) == entry.packed_sha256:
                return
            part.drop()
        raise Refused(Kind.CHANGED, "it is not what was signed", about=entry.path)

    async def _complete(self, entry: Entry, part: "Part", told: Told) -> bool:
        """Returns: whether some of it was there before."""
        if part.size() > entry.packed_size:
            part.drop()
        had = have = part.size()
        told(had)
        without, said = 0, "it ended early"
        for _ in range(CUTS_MAX):
            if have == entry.packed_size:
                return had > 0
            if without == TRIES:
                break
            await _pause(without)
            try:
                await self._append(entry, part, told)
            except (aiohttp.ClientError, TimeoutError) as error:
                said = _said(error)
            without = 0 if part.size() > have else without + 1
            have = part.size()
        raise Unavailable(f"{self.shown}: {entry.path} was cut too often: {said}; what came is kept")

    async def _append(self, entry: Entry, part: "Part", told: Told) -> None:
        have = part.size()
        async with self._get(entry.object_name, have) as response:
            if response.status == _NO_RANGE:
                part.drop()
                told(-have)
                raise aiohttp.ClientPayloadError("the server has less of it than was here")
            self._look_at(response, entry.path)
            if response.status == _PARTIAL and _begins_at(response) != have:
                raise aiohttp.ClientPayloadError("the server sent another part than was asked for")
            if response.status == _OK and have:  # it knows no ranges
                part.drop()
                told(-have)
                have = 0
            with part.path.open("ab") as file:
                async for chunk in response.content.iter_chunked(CHUNK):
                    have += len(chunk)
                    if have > entry.packed_size:
                        said = f"the server sends more than the {entry.packed_size} bytes signed"
                        raise Refused(Kind.CHANGED, said, about=entry.path)
                    file.write(chunk)
                    told(len(chunk))

    @asynccontextmanager
    async def _get(self, name: str, begin: int) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
        async with self._session.get(f"{self._base}/{name}", headers=headers, max_redirects=REDIRECTS_MAX) as response:
            yield response

    def _look_at(self, response: aiohttp.ClientResponse, what: str) -> None:
        """
        Raises: Gone; ClientError, to be tried again.
        """
        if response.status in _FINAL:
            raise Gone(f"{self.shown}: no {what} there (the server says {response.status})")
        if response.status not in (_OK, _PARTIAL):
            raise aiohttp.ClientPayloadError(f"the server says {response.status}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise aiohttp.ClientPayloadError("the server packs what is packed already; it must hand the files out as they are")


@asynccontextmanager
async def open_source(url: str, ca: Path | None = None) -> AsyncIterator[Source]:
    """ca: file of an authority that is believed beside the system's own.

    Raises: Unavailable: that file is none.
    """
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_S_MAX)
    connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=True if ca is None else _believing(ca))
    async with aiohttp.ClientSession(timeout=limits, connector=connector, auto_decompress=False) as session:
        yield Source(url, session)


def _believing(ca: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca)
    except OSError as error:  # ssl.SSLError is one
        raise Unavailable(f"{ca}: no certificate of an authority: {error.strerror or type(error).__name__}") from None
    return context


class Part:
    """What is on disk of an object."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)

    def digest(self) -> str:
        with self.path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()

    def unpack(self, entry: Entry, to: Path) -> None:
        """To the file that was signed; at most its size is ever written. Asked once the object's hash held.

        Raises: Refused, OSError.
        """
        unpacker, digest, size = zlib.decompressobj(), sha256(), 0
        try:
            with self.path.open("rb") as packed, to.open("wb") as file:
                while chunk := unpacker.unconsumed_tail or packed.read(CHUNK):
                    data = unpacker.decompress(chunk, CHUNK)
                    size += len(data)
                    if size > entry.size:
                        raise Refused(Kind.CHANGED, f"it is larger than the {entry.size} bytes signed", about=entry.path)
                    digest.update(data)
                    file.write(data)
        except zlib.error:
            raise Refused(Kind.CHANGED, "it cannot be unpacked", about=entry.path) from None
        if not unpacker.eof or unpacker.unused_data or (size, digest.hexdigest()) != (entry.size, entry.sha256):
            raise Refused(Kind.CHANGED, "it is not what was signed", about=entry.path)


def bare(url: str) -> str:
    """Without name and password."""
    at = urlsplit(url)
    return urlunsplit(at._replace(netloc=at.netloc.rpartition("@")[2]))


async def to_its_end(work: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
    """In a thread. Who is cancelled waits for it, so that nobody works in a store whose lock is let go."""
    thread = asyncio.ensure_future(asyncio.to_thread(work, *given, **named))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise


async def _pause(attempt: int) -> None:
    if attempt:
        await asyncio.sleep(min(AGAIN_S_MAX, AGAIN_S * 2.0**attempt))


def _begins_at(response: aiohttp.ClientResponse) -> int:
    """Of `Content-Range: bytes 5-9/10`; -1 where it says nothing of the kind."""
    begin = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(begin) if begin.isascii() and begin.isdigit() and len(begin) < 16 else -1


def _said(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"nothing answers ({error.os_error.strerror or error.os_error})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was cut"
    return str(error)[:200] or type(error).__name__
