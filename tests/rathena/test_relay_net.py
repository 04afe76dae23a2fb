"""A relay on real sockets: scripted clients, map-servers and a bridge over TLS, all on loopback."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.link.messages import (
    Arrived,
    Closed,
    Entered,
    Held,
    Hold,
    Leaving,
    Loaded,
    Refuse,
    RelayHello,
    ServerLost,
    Walked,
)
from libs.rathena.client import QuitAck
from tests.rathena.relay_lab import lab
from tests.rathena.relay_words import (
    ACCOUNT,
    CHAR,
    LOADED,
    LOGIN_ID1,
    LOGIN_ID2,
    SHOWN,
    TICK,
    WALK,
    dismissed,
    map_move,
    seen,
    server_move,
    welcome,
)


async def test_a_player_logs_in_plays_and_quits(tmp_path: Path):
    async with lab(tmp_path) as town:
        server = await town.server(welcome() + map_move("prontera", 100, 200))

        client, conn = await town.player(server)
        await town.bridge.hears(Loaded, conn=conn, switch=1)
        server.last.say(seen(1))
        client.say(WALK)
        await client.got(seen(1))
        await server.last.got(WALK)
        server.last.say(QuitAck(result=0).pack())
        await client.got(QuitAck(result=0).pack())
        client.transport.close()
        await town.bridge.hears(Closed, conn=conn, reason="quit")
        await server.last.until_gone()

        hello, arrived = town.bridge.told[:2]
        assert isinstance(hello, RelayHello)
        assert (hello.region, hello.players) == ("eu", [])
        assert arrived == Arrived(
            conn=conn, account_id=ACCOUNT, char_id=CHAR, login_id1=LOGIN_ID1, sex=1, client_ip=bytes([127, 0, 0, 1])
        )
        assert server.last.packets[:2] == [SHOWN, LOADED]
        assert await town.bridge.hears(Walked, conn=conn)
        assert b"".join(client.packets).startswith(welcome() + map_move("prontera", 100, 200))


async def test_a_portal_leads_to_another_server_and_the_client_keeps_its_connection(tmp_path: Path):
    async with lab(tmp_path) as town:
        one, two = await town.server(), await town.server(welcome(170, 360) + seen(2))
        client, conn = await town.player(one)

        one.last.say(seen(1) + server_move("prt_fild08", 170, 360))
        await town.bridge.hears(Leaving, conn=conn, map="prt_fild08", x=170, y=360)
        await one.last.until_gone()
        town.bridge.say(town.to(two, 2, conn, map="prt_fild08", zeny=5))
        loaded = await town.bridge.hears(Loaded, conn=conn, switch=2)
        await two.last.got(LOADED)

        assert (loaded.map, loaded.x, loaded.y) == ("prt_fild08", 170, 360)
        assert client.packets[3:] == [seen(1), map_move("prt_fild08", 170, 360), seen(2), b"\xb1\0\x14\0\x05\0\0\0"]
        assert one.last.eof
        assert not client.gone


async def test_a_killed_server_is_a_map_change_to_its_players(tmp_path: Path):
    async with lab(tmp_path) as town:
        host, fallback = await town.server(), await town.server(welcome(31, 41))
        players = [await town.player(host) for _ in range(3)]
        for end in host.ends:
            await end.got(LOADED)

        host.kill()
        for client, conn in players:
            client.say(WALK)
            await town.bridge.hears(ServerLost, conn=conn, switch=1)
            town.bridge.say(town.to(fallback, 2, conn, map="pay_fild03", base_level=99))
        for client, conn in players:
            assert (await town.bridge.hears(Loaded, conn=conn, switch=2)).ms > 0
            await client.got(map_move("pay_fild03", 31, 41))

        assert [end.packets for end in fallback.ends] == [[SHOWN, LOADED]] * 3
        assert not any(client.gone for client, _ in players)
        assert town.shell.table.status()["switches"] == 3


async def test_half_a_packet_of_a_dying_server_never_reaches_the_client(tmp_path: Path):
    async with lab(tmp_path) as town:
        one, two = await town.server(), await town.server()
        client, conn = await town.player(one)

        one.last.say(seen(1) + seen(2)[:4])
        await client.got(seen(1))
        one.kill()
        await town.bridge.hears(ServerLost, conn=conn)
        town.bridge.say(town.to(two, 2, conn))
        await client.got(map_move("prontera", 100, 200))

        assert client.unfinished == 0


async def test_hold_ends_the_server_s_connection_after_what_was_sent(tmp_path: Path):
    async with lab(tmp_path) as town:
        server = await town.server()
        client, conn = await town.player(server)
        await server.last.got(LOADED)

        client.say(WALK * 1_000)
        await town.news.until(lambda: server.last.packets.count(WALK) == 1_000)
        town.bridge.say(Hold(conn=conn))
        await town.bridge.hears(Held, conn=conn, switch=1)

        assert server.last.eof
        assert not client.gone


async def test_a_server_that_does_not_close_is_cut_so_that_hold_is_answered(tmp_path: Path):
    async with lab(tmp_path) as town:
        server = await town.server()
        _, conn = await town.player(server)
        server.last.transport.pause_reading()

        town.bridge.say(Hold(conn=conn))

        await town.bridge.hears(Held, conn=conn, switch=1)


async def test_a_server_that_refuses_or_is_not_there_is_said_and_the_next_is_tried(tmp_path: Path):
    async with lab(tmp_path) as town:
        refusing, gone, good = await town.server(dismissed(0)), await town.server(), await town.server()
        gone.stop()
        client = await town.client()
        conn = (await town.bridge.hears(Arrived)).conn

        town.bridge.say(town.to(refusing, 1, conn))
        first = await town.bridge.hears(Entered, conn=conn, switch=1)
        town.bridge.say(town.to(gone, 2, conn))
        second = await town.bridge.hears(Entered, conn=conn, switch=2)
        town.bridge.say(town.to(good, 3, conn))
        third = await town.bridge.hears(Entered, conn=conn, switch=3)
        await client.got(welcome()[10:])

        assert (first.ok, first.reason) == (False, "the server refused with 0081, code 0")
        assert (second.ok, second.reason) == (False, "no connection: Connection refused")
        assert third.ok
        assert client.packets[0] == welcome()[:6]


async def test_why_a_server_takes_nobody_is_in_the_log_and_not_at_every_try(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with lab(tmp_path) as town:
        gone = await town.server()
        gone.stop()
        await town.client()
        conn = (await town.bridge.hears(Arrived)).conn

        for switch in (1, 2, 3):
            town.bridge.say(town.to(gone, switch, conn))
            await town.bridge.hears(Entered, conn=conn, switch=switch)

        said = [record.message for record in caplog.records if "does not take a player" in record.message]
        assert len(said) == 1
        assert said[0].endswith("does not take a player: no connection: Connection refused")


async def test_a_server_that_says_nothing_is_given_up_in_time(tmp_path: Path):
    async with lab(tmp_path, connect_timeout_ms=150) as town:
        silent = await town.server(b"")
        await town.client()
        conn = (await town.bridge.hears(Arrived)).conn

        town.bridge.say(town.to(silent, 1, conn))

        assert (await town.bridge.hears(Entered, conn=conn)).reason == "no 02eb in time"


async def test_a_refused_client_is_told_the_code_before_the_close(tmp_path: Path):
    async with lab(tmp_path) as town:
        client = await town.client()
        conn = (await town.bridge.hears(Arrived)).conn
        client.say(TICK * 100)

        town.bridge.say(Refuse(conn=conn, code=2))
        await client.until_gone()

        assert client.packets == [dismissed(2)]


async def test_a_bridge_that_comes_back_is_told_everything_and_players_play_on_meanwhile(tmp_path: Path):
    async with lab(tmp_path) as town:
        server = await town.server()
        client, conn = await town.player(server)
        await town.bridge.hears(Loaded, conn=conn)
        port = town.bridge.port
        await town.bridge.close()
        await town.news.until(lambda: not town.shell.connected)

        server.last.say(map_move("prt_in", 5, 6))
        await client.got(map_move("prt_in", 5, 6))
        newcomer = await town.client()
        await town.news.until(lambda: town.shell.counts.arrived == 2)
        town.bridge.told.clear()
        await town.bridge.start(town.server_tls, port)
        hello = await town.bridge.hears(RelayHello)
        waiting = await town.bridge.hears(Arrived)
        town.bridge.say(town.to(server, 1, waiting.conn))
        await newcomer.got(welcome()[10:])

        (placed,) = hello.players
        assert (placed.conn, placed.switch, placed.server, placed.map, placed.x) == (conn, 1, "core", "prt_in", 5)
        assert (placed.login_id1, placed.login_id2) == (LOGIN_ID1, LOGIN_ID2)


async def test_a_relay_that_ends_tells_its_clients(tmp_path: Path):
    async with lab(tmp_path) as town:
        server = await town.server()
        client, conn = await town.player(server)
        stopped = asyncio.ensure_future(town.shell._farewell())

        await client.until_gone()
        await stopped

        assert client.packets[-1] == dismissed(1)
        assert await town.bridge.hears(Closed, conn=conn, reason="the relay ends")
        assert server.last.eof


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_player_logs_in_plays_and_quits,
        test_a_portal_leads_to_another_server_and_the_client_keeps_its_connection,
        test_a_killed_server_is_a_map_change_to_its_players,
        test_half_a_packet_of_a_dying_server_never_reaches_the_client,
        test_hold_ends_the_server_s_connection_after_what_was_sent,
        test_a_server_that_does_not_close_is_cut_so_that_hold_is_answered,
        test_a_server_that_refuses_or_is_not_there_is_said_and_the_next_is_tried,
        test_a_refused_client_is_told_the_code_before_the_close,
        test_a_bridge_that_comes_back_is_told_everything_and_players_play_on_meanwhile,
        test_a_relay_that_ends_tells_its_clients,
    ],
)
def test_the_same_on_the_loop_a_relay_runs_on(scenario: Callable[[Path], Coroutine[Any, Any, None]], tmp_path: Path):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(tmp_path))
