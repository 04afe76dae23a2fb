"""Players reach a host by a port that its router forwards. Relay, agent and nats-server are real, map-servers are scripted."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from msgspec import structs

from libs.bus.embedded import EmbeddedServer
from libs.link.dials import DialAccepted, DialComes, DialOpen
from libs.link.frames import frame
from libs.link.keys import passing_identity
from tests.rathena.dial_lab import HOST, dial_lab
from tests.rathena.relay_words import SHOWN, WALK, seen

pytestmark = pytest.mark.nats


async def test_a_port_that_is_open_is_used_and_the_host_need_not_come(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        port = await place.dialing.listen(0)

        client, _, server = await place.player(address="127.0.0.1", port=port)
        client.say(WALK)
        await server.got(WALK)
        server.say(seen(1))
        await client.got(seen(1))

        assert [(dial.address, dial.port) for dial in place.asked] == [("", 0)]
        assert (place.dialing.players, place.dialing.let_in, place.dialing.dialled, place.counts.dialled) == (1, 1, 0, 1)
        client.transport.close()
        await server.until_gone()


@pytest.mark.parametrize("kind", ["closed", "none", "silent"])
async def test_where_the_port_does_not_answer_the_host_comes_and_the_port_is_left_alone_for_a_while(
    nats_server: EmbeddedServer, tmp_path: Path, kind: str
):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        taken: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        if kind == "closed":
            silent.close()
            await silent.wait_closed()
        if kind != "none":
            await place.dialing.listen(0)

        client, _, server = await place.player(address="127.0.0.1", port=port)
        client.say(WALK)
        await server.got(WALK)
        await place.player(address="127.0.0.1", port=port)

        assert [bool(dial.address) for dial in place.asked] == [False, True, True]
        silent.close()
        for writer in taken:
            writer.transport.abort()


async def test_the_open_port_lets_nobody_in_who_was_not_announced(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        server = await place.server()
        port = await place.dialing.listen(0)
        said = [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            frame(DialComes(ticket="made up")),
            frame(DialOpen(host=HOST, key=place.link.key, ticket="", proof=b"")),
            SHOWN,
        ]

        for words in said:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(words)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        client, _, _ = await place.player(address="127.0.0.1", port=port)

        assert len(server.ends) == 1
        assert not client.gone


async def test_who_hears_a_ticket_on_its_way_to_the_open_port_gets_nothing_by_it(nats_server: EmbeddedServer, tmp_path: Path):
    """He is met with TLS by an agent that wants to see the relay's certificate."""
    async with dial_lab(tmp_path, nats_server.url) as place:
        server = await place.server()
        port = await place.dialing.listen(0)
        dial = await place.ask()
        at_port = structs.replace(dial, address="", port=0)
        assert (await place.dialing.answer(at_port)).ok
        context, _ = passing_identity()

        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(frame(DialComes(ticket=dial.ticket)))
        heard = Heard()
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: heard, connection, ssl=context)
        await asyncio.wait_for(heard.ended, 10)

        assert heard.data == b""
        assert server.ends[0].packets == []
        assert isinstance(await place.come(dial), DialAccepted)
        transport.abort()


async def test_a_relay_that_comes_when_the_map_server_is_gone_is_not_kept_waiting(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        server = await place.server()
        port = await place.dialing.listen(0)
        dial = await place.ask()
        assert (await place.dialing.answer(structs.replace(dial, address="", port=0))).ok
        server.kill()

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame(DialComes(ticket=dial.ticket)))
        said = await asyncio.wait_for(reader.read(), 10)

        assert said == b""
        assert (place.dialing.players, place.dialing.refused) == (0, 1)
        writer.close()


class Heard(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, _: Exception | None) -> None:
        self.ended.set_result(None)
