"""A relay on real sockets and those who strain it: slow readers, crowds, garbage."""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import pytest

from libs.link.messages import (
    Arrived,
    Closed,
    Entered,
    Held,
    Hold,
    ServerLost,
)
from services.relay.connections import HIGH_WATER_BYTES
from tests.rathena.relay_lab import lab
from tests.rathena.relay_words import (
    ACCOUNT,
    CHAR,
    ENTER,
    LOGIN_ID1,
    LOGIN_ID2,
    WALK,
    dismissed,
    map_move,
    seen,
    welcome,
)


async def test_a_client_that_does_not_read_stops_its_server_and_nobody_else(tmp_path: Path):
    async with lab(tmp_path, idle_timeout_s=2.0) as town:  # the flood takes a busy machine more than half a second
        server = await town.server()
        sleeper, conn = await town.player(server)
        other, _ = await town.player(server)
        sleeping, awake = server.ends

        sleeper.transport.pause_reading()
        flood = seen(1) * 10_000
        while sleeping.transport.get_write_buffer_size() < 8 * HIGH_WATER_BYTES:
            sleeping.say(flood)
            await asyncio.sleep(0)
        awake.say(seen(2))
        await other.got(seen(2))

        assert (await town.bridge.hears(Closed, conn=conn)).reason in ("the client does not read", "the client says nothing")
        await sleeping.until_gone()
        assert town.shell.counts.bytes_to_clients < 64 * HIGH_WATER_BYTES


async def test_a_client_that_does_not_read_stops_its_next_server_too(tmp_path: Path):
    async with lab(tmp_path) as town:
        one, two = await town.server(), await town.server(welcome()[:6])
        sleeper, conn = await town.player(one)
        sleeper.transport.pause_reading()
        while one.last.transport.get_write_buffer_size() < HIGH_WATER_BYTES:
            one.last.say(seen(1) * 10_000)
            await asyncio.sleep(0)
        town.bridge.say(Hold(conn=conn))
        await town.bridge.hears(Held, conn=conn)
        before = town.shell.counts.bytes_to_clients

        town.bridge.say(town.to(two, 2, conn))
        await town.news.until(lambda: town.shell.counts.bytes_to_clients == before + 6)
        two.last.say(welcome()[6:] + seen(2) * 1_000_000)
        await town.bridge.hears(Entered, conn=conn, switch=2)
        await town.news.until(lambda: two.last.transport.get_write_buffer_size() > HIGH_WATER_BYTES)

        assert town.shell.counts.bytes_to_clients - before < 2 * HIGH_WATER_BYTES


async def test_everything_arrives_through_a_slow_reader_in_order(tmp_path: Path):
    async with lab(tmp_path) as town:
        server = await town.server()
        client, _ = await town.player(server)
        numbers = range(120_000)

        client.transport.pause_reading()
        server.last.say(b"".join(map(seen, numbers)))
        await town.news.until(lambda: town.shell.counts.bytes_to_clients > HIGH_WATER_BYTES)
        client.transport.resume_reading()
        await client.got(seen(numbers[-1]))

        assert client.packets[3:] == [seen(number) for number in numbers]


async def test_too_many_connections_of_one_address_are_told_so(tmp_path: Path):
    async with lab(tmp_path, max_connections_per_address=2) as town:
        first, _ = [await town.client() for _ in range(2)]
        await town.news.until(lambda: town.shell.counts.arrived == 2)

        third = await town.client()
        await third.until_gone()
        first.transport.close()
        await town.news.until(lambda: town.shell.counts.closed == 2)
        await town.client()
        await town.news.until(lambda: town.shell.counts.arrived == 3)

        assert third.packets == [dismissed(9)]


def proxy_v2(address: bytes) -> bytes:
    body = address * 2 + struct.pack(">HH", 4000, 5120)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", len(body)) + body


@pytest.mark.parametrize(
    "header", [b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 5120\r\n", proxy_v2(bytes([192, 0, 2, 9]))], ids=["v1", "v2"]
)
async def test_behind_a_balancer_the_address_is_that_of_the_header(tmp_path: Path, header: bytes):
    async with lab(tmp_path, proxy_protocol=True, max_connections_per_address=1) as town:
        await town.client(says=header + ENTER)
        arrived = await town.bridge.hears(Arrived)

        second = await town.client(says=header + ENTER)
        await second.until_gone()
        without = await town.client()
        await without.until_gone()

        assert arrived.client_ip == bytes([192, 0, 2, 9])
        assert second.packets == [dismissed(9)]
        assert without.packets == []
        assert len([message for message in town.bridge.told if isinstance(message, Arrived)]) == 1


async def test_a_held_client_is_told_after_the_hold_time(tmp_path: Path):
    async with lab(tmp_path, hold_timeout_s=0.2) as town:
        server = await town.server()
        client, conn = await town.player(server)

        server.kill()
        await client.until_gone()

        assert client.packets[-1] == dismissed(1)
        assert await town.bridge.hears(Closed, conn=conn, reason="held too long")


async def test_garbage_of_a_client_costs_that_client(tmp_path: Path):
    async with lab(tmp_path) as town:
        server = await town.server()
        bad, conn = await town.player(server)
        good, _ = await town.player(server)

        bad.say(b"\xff\xff\xff\xff")
        await bad.until_gone()
        await town.bridge.hears(Closed, conn=conn)
        await server.ends[0].until_gone()
        server.ends[1].say(seen(1))

        await good.got(seen(1))


async def test_garbage_of_a_server_costs_that_server(tmp_path: Path):
    async with lab(tmp_path) as town:
        bad, good = await town.server(), await town.server()
        client, conn = await town.player(bad)

        bad.last.say(b"\xff\xff\xff\xff")
        await town.bridge.hears(ServerLost, conn=conn)
        await bad.last.until_gone()
        town.bridge.say(town.to(good, 2, conn))

        await client.got(map_move("prontera", 100, 200))


async def test_a_bug_of_ours_costs_one_player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with lab(tmp_path) as town:
        server = await town.server()
        unlucky, conn = await town.player(server)
        lucky, _ = await town.player(server)

        def broken(*_: object) -> NoReturn:
            raise ZeroDivisionError

        monkeypatch.setattr(town.shell.table.sessions[conn], "on_client", broken)
        unlucky.say(WALK)
        await unlucky.until_gone()
        lucky.say(WALK)
        await server.ends[1].got(WALK)

        assert await town.bridge.hears(Closed, conn=conn, reason="a bug of the relay")
        assert town.shell.counts.bugs == 1


async def test_logs_name_no_player_and_servers_are_timed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    async with lab(tmp_path) as town:
        one, two = await town.server(), await town.server()
        client, conn = await town.player(one)
        one.kill()
        await town.bridge.hears(ServerLost, conn=conn)
        town.bridge.say(town.to(one, 2, conn))
        await town.bridge.hears(Entered, conn=conn, switch=2)
        town.bridge.say(town.to(two, 3, conn, server="host_a/prontera"))
        await client.got(map_move("prontera", 100, 200))
        client.say(b"\xff\xff\xff\xff")
        await client.until_gone()

        assert [server for server, _ in town.rtts_ms] == ["core", "host_a/prontera"]
        assert all(ms > 0 for _, ms in town.rtts_ms)
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith(("services", "libs")))
    assert "connection 1 ends" in said
    for secret in ("127.0.0.1", str(ACCOUNT), str(CHAR), str(LOGIN_ID1), str(LOGIN_ID2)):
        assert secret not in said


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_client_that_does_not_read_stops_its_server_and_nobody_else,
        test_a_client_that_does_not_read_stops_its_next_server_too,
        test_everything_arrives_through_a_slow_reader_in_order,
        test_garbage_of_a_server_costs_that_server,
    ],
)
def test_the_same_on_the_loop_a_relay_runs_on(scenario: Callable[[Path], Coroutine[Any, Any, None]], tmp_path: Path):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(tmp_path))
