"""Agents' links over real sockets: what is carried, what a cut does, what becomes of who breaks the rules."""

import asyncio
import random
from pathlib import Path

import msgspec
import pytest

from libs.events import MapName
from libs.rathena.inter_chars import CharOffline
from libs.rathena.inter_link import Keepalive, KeepaliveAck, MapLogin, MapsAck, RegisterUsers, UserCount
from services.agent.link_events import Gone, Linked, Players
from services.bridge import session
from tests.conftest import Eventually
from tests.rathena.cutting import Proxy
from tests.rathena.link_lab import agent_end, bridge_end, map_server

FIELD, CAVE = MapName("moc_fild01"), MapName("pay_dun01")
LOGIN = MapLogin(userid=b"s1", passwd=b"p1", map_ip=bytes([127, 0, 0, 1]), map_port=5_999).pack()
WELCOME = MapsAck(whisper_name=b"Server", server_name=b"rAthena").pack()


async def test_a_map_servers_stream_is_carried_both_ways(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, events):
        port = await link.open(FIELD, "127.0.0.1", 6_121)
        assert link.report is not None
        assert not link.report.linked
        link.offer(bridge.offer(link.key))

        async with map_server(port) as (reader, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)
            (number,) = bridge.linked
            assert bridge.hosts[number] == ("my_pc", FIELD, bytes([127, 0, 0, 1]), 6_121, link.key)
            assert bridge.said(number) == LOGIN

            bridge.links.send(number, WELCOME)
            assert await reader.readexactly(len(WELCOME)) == WELCOME
            writer.write(RegisterUsers.of([(1, 2), (3, 4)]).pack() + UserCount(users=7).pack())
            await eventually(lambda: [event.count for event in events if isinstance(event, Players)] == [2])
            writer.write(CharOffline(account_id=3, char_id=4).pack())
            await eventually(lambda: [event.count for event in events if isinstance(event, Players)] == [2, 1])
            assert link.report.linked

        await eventually(lambda: bridge.gone == [number])
        assert [event for event in events if isinstance(event, Linked | Gone)] == [
            Linked(FIELD),
            Gone(FIELD, "the map-server ended"),
        ]
        assert [event.count for event in events if isinstance(event, Players)] == [2, 1, 0]


@pytest.mark.parametrize("side", ["map-server", "bridge"])
async def test_what_is_no_inter_server_stream_ends_that_map_server_alone(
    tmp_path: Path, eventually: Eventually, side: str
) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, events):
        ports = [await link.open(name) for name in (FIELD, CAVE)]
        link.offer(bridge.offer(link.key))
        async with map_server(ports[0]) as (reader, writer), map_server(ports[1]) as (other_reader, other_writer):
            for each in (writer, other_writer):
                each.write(LOGIN)
            await eventually(lambda: len(bridge.packets) == 2)
            bad = next(number for number, host in bridge.hosts.items() if host[1] == FIELD)
            good = next(number for number in bridge.hosts if number != bad)
            bridge.links.send(bad, WELCOME)
            assert await reader.readexactly(len(WELCOME)) == WELCOME

            if side == "map-server":
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
            else:
                bridge.links.send(bad, b"GET / HTTP/1.1\r\n\r\n")

            assert await reader.read() == b""
            await eventually(lambda: bridge.gone == [bad])
            assert next(event.reason for event in events if isinstance(event, Gone)).startswith("no inter-server stream")
            assert bridge.said(bad) == LOGIN
            bridge.links.send(good, WELCOME)
            assert await other_reader.readexactly(len(WELCOME)) == WELCOME
        async with map_server(ports[0]) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: any(number not in (bad, good) for number in bridge.packets))


async def test_a_map_server_that_comes_before_the_link_waits_for_it(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, _):
        port = await link.open(FIELD)
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await writer.drain()
            await asyncio.sleep(0.05)

            link.offer(bridge.offer(link.key))

            await eventually(lambda: bridge.linked and bridge.said(bridge.linked[0]) == LOGIN)


async def test_one_connection_carries_all_map_servers_and_one_that_ends_ends_alone(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with bridge_end(tmp_path) as bridge, Proxy.running(bridge.port) as proxy, agent_end() as (link, _):
        ports = [await link.open(name) for name in (FIELD, CAVE)]
        link.offer(msgspec.structs.replace(bridge.offer(link.key), port=proxy.port))
        async with map_server(ports[0]) as (_, staying):
            async with map_server(ports[1]) as (_, going):
                for writer in (staying, going):
                    writer.write(LOGIN)
                await eventually(lambda: len(bridge.packets) == 2)
            await eventually(lambda: len(bridge.gone) == 1)

            staying.write(Keepalive().pack())
            (number,) = bridge.linked
            await eventually(lambda: bridge.said(number) == LOGIN + Keepalive().pack())
            assert bridge.hosts[number][1] == FIELD
            assert proxy.made == 1


async def test_the_bridge_may_cut_one_map_server_which_comes_again_as_another(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, events):
        port = await link.open(FIELD)
        link.offer(bridge.offer(link.key))
        async with map_server(port) as (reader, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)
            (number,) = bridge.linked
            bridge.links.send(number, WELCOME)
            bridge.links.cut(number, "a test")
            assert await reader.read() == WELCOME
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.linked)

        assert bridge.linked != [number]
        assert Gone(FIELD, "a test") in events


@pytest.mark.parametrize("seed", range(3))
async def test_everything_arrives_once_however_often_the_line_is_cut(tmp_path: Path, seed: int, eventually: Eventually) -> None:
    chance = random.Random(seed)
    async with bridge_end(tmp_path) as bridge, Proxy.running(bridge.port) as proxy, agent_end() as (link, events):
        port = await link.open(FIELD)
        link.offer(msgspec.structs.replace(bridge.offer(link.key), port=proxy.port))
        async with map_server(port) as (reader, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)
            (number,) = bridge.linked

            said, told = LOGIN, b""
            for _ in range(12):
                users = [(chance.randrange(1 << 31), chance.randrange(1 << 31)) for _ in range(chance.randrange(1, 5_000))]
                packet = RegisterUsers.of(users).pack()
                answer = KeepaliveAck().pack() * chance.randrange(1, 20_000)
                writer.write(packet)
                bridge.links.send(number, answer)
                said, told = said + packet, told + answer
                await asyncio.sleep(chance.random() * 0.05)
                await proxy.cut(chance.random() * 0.1)

            await eventually(lambda: len(bridge.said(number)) == len(said), 20.0)
            assert bridge.said(number) == said
            assert await asyncio.wait_for(reader.readexactly(len(told)), 20.0) == told
            cuts = bridge.doubts.count((number, True))
            await eventually(lambda: bridge.doubts.count((number, False)) == cuts > 0)
        assert {event.reason for event in events if isinstance(event, Gone)} <= {"the map-server ended"}


async def test_after_the_window_it_is_another_incarnation(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, Proxy.running(bridge.port) as proxy, agent_end() as (link, events):
        port = await link.open(FIELD)
        link.offer(msgspec.structs.replace(bridge.offer(link.key), port=proxy.port))
        async with map_server(port) as (reader, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)
            (number,) = bridge.linked

            cutting = asyncio.ensure_future(proxy.cut(session.WINDOW_S + 0.5))

            await eventually(lambda: bridge.gone == [number])
            assert await asyncio.wait_for(reader.read(), 5) == b"", "its char-server has gone"
            await cutting
        assert any(isinstance(event, Gone) for event in events) or not link.linked
        link.offer(msgspec.structs.replace(bridge.offer(link.key), port=proxy.port))
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.linked)
        assert bridge.linked != [number]


async def test_a_second_agent_process_ends_the_sessions_of_the_first(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (first, _), agent_end() as (second, _):
        port = await first.open(FIELD)
        first.offer(bridge.offer(first.key))
        async with map_server(port) as (reader, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)

            await second.open(FIELD)
            second.offer(bridge.offer(second.key))

            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert len(bridge.gone) == 1
        assert len(bridge.agents) == 1


async def test_an_agent_that_ends_says_so(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge:
        async with agent_end() as (link, _):
            port = await link.open(FIELD)
            link.offer(bridge.offer(link.key))
            async with map_server(port) as (_, writer):
                writer.write(LOGIN)
                await eventually(lambda: bridge.packets)
                assert len(bridge.agents) == 1

        await eventually(lambda: len(bridge.agents) == 0, session.WINDOW_S / 2)
        assert bridge.doubts == []


async def test_a_bridge_with_another_certificate_is_told_nothing(tmp_path: Path) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, _):
        await link.open(FIELD)

        link.offer(msgspec.structs.replace(bridge.offer(link.key), certificate="00" * 32))
        await asyncio.sleep(0.5)

        assert not link.linked
        assert bridge.refused == []


async def test_a_map_server_that_does_not_read_holds_up_no_other(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, _):
        ports = [await link.open(name) for name in (FIELD, CAVE)]
        link.offer(bridge.offer(link.key))
        async with map_server(ports[0]) as (_, stalled), map_server(ports[1]) as (reading, free):
            stalled.transport.pause_reading()  # type: ignore[attr-defined]
            for writer in (stalled, free):
                writer.write(LOGIN)
            await eventually(lambda: len(bridge.packets) == 2)
            lazy, busy = sorted(bridge.linked, key=lambda number: bridge.hosts[number][1] != FIELD)
            much = KeepaliveAck().pack() * 2_500_000

            bridge.links.send(lazy, much)
            bridge.links.send(busy, much)

            assert await asyncio.wait_for(reading.readexactly(len(much)), 60) == much


# -- who is refused -----------------------------------------------------------------------------------------------------------
