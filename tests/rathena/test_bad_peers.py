"""Bad peers on each of the bridge's ports: cut with a logged reason, while a map-server that behaves is served."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from libs.config import load
from libs.link.frames import frame
from libs.link.messages import LinkHello
from libs.rathena.inter_link import LoginAck, MapLogin
from services.bridge.shell import BridgeProcess
from tests.rathena.surroundings import free_ports

LOGIN = MapLogin(userid=b"s1", passwd=b"p1", map_ip=bytes([127, 0, 0, 1]), map_port=5_999).pack()
HELLO = frame(LinkHello(host="h1", map="field_a", address="127.0.0.1", port=1))
GARBAGE = {
    "maps": [b"\xff\xff" * 50, b"\x01\x2b\x03\x00", b"\xfa\x2a\xff\xff" + bytes(65_531), LOGIN[:-1] + b"\xff\xff\xff"],
    "hosts": [b"\xff" * 50, HELLO[:4] + b"\xc1" * 90, HELLO + b"\xff\xff\xff\xff", HELLO + b"\xfa\x2a\x04\x00"],
    "relays": [b"\xff" * 8, b"\0\0\0\x02\xc1\xc1", b"\0\0\0\x01\x90"],
}


@contextlib.asynccontextmanager
async def bridge() -> AsyncIterator[dict[str, int]]:
    """Its ports. No NATS and no char-server are there."""
    ports = free_ports("maps", "hosts", "relays", "char", "nats")
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    environ = {
        "KAFRA__BRIDGE__MAP_SERVERS": at["maps"],
        "KAFRA__BRIDGE__HOSTS": at["hosts"],
        "KAFRA__BRIDGE__RELAYS": at["relays"],
        "KAFRA__BRIDGE__CHAR_SERVER": at["char"],
    }
    process = BridgeProcess(load(None, environ), open_=True)
    await process.start()
    try:
        yield ports
    finally:
        await process.close()


async def served(port: int) -> bool:
    """A map-server that says 2af8 is welcomed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(LOGIN)
    answer = await asyncio.wait_for(reader.readexactly(len(LoginAck().pack())), 5)
    writer.close()
    return answer == LoginAck().pack()


@pytest.mark.parametrize("port", ["maps", "hosts", "relays"])
async def test_who_says_nonsense_is_cut_and_the_others_are_served(port: str, caplog: pytest.LogCaptureFixture) -> None:
    async with bridge() as ports:
        for garbage in GARBAGE[port]:
            caplog.clear()
            with caplog.at_level(logging.INFO):
                reader, writer = await asyncio.open_connection("127.0.0.1", ports[port])
                writer.write(garbage)
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 10)
                writer.close()

            assert any("cut" in record.getMessage() or "gone" in record.getMessage() for record in caplog.records), garbage
            assert await served(ports["maps"])


@pytest.mark.parametrize("port", ["maps", "hosts", "relays"])
async def test_a_flood_of_connections_keeps_nobody_out(port: str) -> None:
    async with bridge() as ports:
        flood = [await asyncio.open_connection("127.0.0.1", ports[port]) for _ in range(200)]
        for number, (_, writer) in enumerate(flood):
            writer.write(LOGIN[: number % len(LOGIN)])  # half packets, and nothing at all

        assert await served(ports["maps"])
        for _, writer in flood:
            writer.close()
