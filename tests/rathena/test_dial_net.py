"""Players reach a host that dials: relay, agent and nats-server are real, on loopback; map-servers and clients are scripted."""

import asyncio
from pathlib import Path

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.link.dials import DialRefused
from libs.link.messages import Entered, Held, Hold, Loaded, ServerLost
from services.agent import pipe
from services.agent.dialing import Limits
from services.relay import connections
from tests.rathena.dial_lab import FIELD, HOST, dial_lab
from tests.rathena.relay_words import LOADED, SHOWN, WALK, dismissed, map_move, seen, welcome

BIG = (0x0B09).to_bytes(2, "little") + (64_000).to_bytes(2, "little") + bytes(63_996)
"""A packet of a server as long as any: a list of things."""
pytestmark = pytest.mark.nats


async def test_a_player_plays_on_a_host_that_dials(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server(welcome() + map_move(FIELD, 100, 200))

        client, conn, server = await place.player()
        await place.town.bridge.hears(Loaded, conn=conn, switch=1)
        server.say(seen(1))
        client.say(WALK * 3)
        await client.got(seen(1))
        await place.town.news.until(lambda: server.packets.count(WALK) == 3)

        assert server.packets[:2] == [SHOWN, LOADED]
        assert (place.dialing.players, place.dialing.dialled, place.counts.dialled) == (1, 1, 1)
        assert place.dialing.down_bytes == server.bytes
        assert place.dialing.up_bytes == len(welcome() + map_move(FIELD, 100, 200) + seen(1))
        assert [dial.map for dial in place.asked] == [FIELD]
        assert place.town.rtts_ms[0][0] == f"{HOST}/{FIELD}"
        assert place.alerts == []

        client.transport.close()
        await server.until_gone()
        await place.town.news.until(lambda: place.dialing.players == 0)


async def test_hold_reaches_the_map_server_behind_all_that_was_said_and_its_last_words_are_waited_for(
    nats_server: EmbeddedServer, tmp_path: Path
):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        client, conn, server = await place.player()
        await server.got(LOADED)

        client.say(WALK * 5_000)
        await place.town.news.until(lambda: server.packets.count(WALK) > 0)
        place.town.bridge.say(Hold(conn=conn))
        await place.town.bridge.hears(Held, conn=conn, switch=1)
        await server.until_gone()

        assert server.eof
        assert server.unfinished == 0
        assert not client.gone


async def test_a_killed_map_server_is_a_map_change(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        host, fallback = await place.server(), await place.town.server(welcome(31, 41))
        place.town.servers.reverse()
        client, conn, server = await place.player()
        await server.got(LOADED)

        host.kill()
        await place.town.bridge.hears(ServerLost, conn=conn, switch=1)
        place.town.bridge.say(place.town.to(fallback, 2, conn, map="pay_fild03"))
        await client.got(map_move("pay_fild03", 31, 41))

        assert not client.gone
        assert client.unfinished == 0


async def test_an_agent_that_ends_is_a_lost_server(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        client, conn, server = await place.player()

        await place.dialing.close()
        await place.town.bridge.hears(ServerLost, conn=conn, switch=1)
        await server.until_gone()

        assert not client.gone


async def test_a_hundred_players_come_at_once(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url, max_connections_per_address=200, connect_timeout_ms=10_000) as place:
        server = await place.server()
        waiting = [await place.arrives() for _ in range(100)]

        for _, conn in waiting:
            place.town.bridge.say(place.to_host(conn))
        for client, conn in waiting:
            await place.town.bridge.hears(Loaded, conn=conn)
            client.say(WALK)
        await place.town.news.until(lambda: all(WALK in end.packets for end in server.ends))

        assert len(server.ends) == place.dialing.players == place.counts.dialled == 100
        assert place.counts.dials_refused == 0


async def test_who_does_not_read_stops_his_map_server_and_nobody_else(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        slow, _, his = await place.player()
        quick, _, others = await place.player()
        slow.transport.pause_reading()

        his.say(BIG * 700)  # 45 MB: what kernels keep is far less
        await place.town.news.until(lambda: place.dialing.up_bytes > 1_000_000)
        for number in range(20):
            others.say(seen(number))
            await quick.got(seen(number))

        assert his.transport.get_write_buffer_size() > 10_000_000, "somebody keeps it all"
        slow.transport.resume_reading()
        his.say(seen(9))
        await slow.got(seen(9))
        assert slow.packets.count(BIG) == 700


async def test_why_a_host_does_not_come_is_said(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url, limits=Limits(players_max=1)) as place:
        assert (await place.refusal()).reason == "the host: no map-server for this map is ready here"
        server = await place.server()
        await place.player()
        assert (await place.refusal()).reason == "the host: full: 1 players are here, and no more may be"

        assert place.dialing.refused == place.counts.dials_failed == 2
        assert len(server.ends) == 1


async def test_a_map_server_that_is_gone_is_said(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        (await place.server()).stop()

        assert (await place.refusal()).reason == "the host: the map-server: Connection refused"
        assert place.dialing.players == 0


async def test_a_host_that_nobody_hears_of_is_known_at_once(nats_server: EmbeddedServer, tmp_path: Path):
    """Long before the relay would have given up."""
    async with dial_lab(tmp_path, nats_server.url, connect_timeout_ms=60_000) as place:
        _, conn = await place.arrives()
        place.town.bridge.say(place.to_host(conn, server=f"gone/{FIELD}"))

        refused = await place.town.bridge.hears(Entered, conn=conn, ok=False)

        assert refused.reason == "the host does not answer"


async def test_without_nats_nobody_begins_and_everybody_plays_on(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url, connect_timeout_ms=60_000) as place:
        await place.server()
        client, _, server = await place.player()

        await nats_server.stop()
        await place.town.news.until(lambda: not place.relay_bus.connected)

        assert (await place.refusal()).reason == "the host does not answer"
        client.say(WALK)
        await server.got(WALK)
        server.say(seen(3))
        await client.got(seen(3))


async def test_a_host_that_says_nothing_is_given_up(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url, connect_timeout_ms=200) as place:
        dial = await place.ask()

        await place.town.bridge.hears(Entered, ok=False)

        late = await place.come(dial)
        assert isinstance(late, DialRefused)
        assert late.why == "nobody waits for it any more"
        assert place.counts.dials_refused == 0, "who is late is no thief"
        assert len(place.back._expecting) == 0


async def test_a_map_server_that_does_not_end_is_cut_after_its_player_left(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connections, "LINGER_S", 60.0)
    monkeypatch.setattr(pipe, "HALF_OPEN_S", 0.2)
    monkeypatch.setattr(pipe, "LOOK_S", 0.1)
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        client, _, server = await place.player()
        told: list[bool] = []
        server.eof_received = lambda: told.append(True) or True  # type: ignore[method-assign]

        client.transport.close()
        await place.town.news.until(lambda: told)
        await place.town.news.until(lambda: place.dialing.players == 0)

        await place.town.news.until(lambda: not place.town.shell.lingering)


async def test_a_connection_on_which_nothing_is_said_is_cut(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pipe, "IDLE_S", 0.3)
    monkeypatch.setattr(pipe, "LOOK_S", 0.1)
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        _, conn, _ = await place.player()

        await place.town.bridge.hears(ServerLost, conn=conn)

        await place.town.news.until(lambda: place.dialing.players == 0)


async def test_a_full_line_slows_its_players_and_takes_no_more(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url, limits=Limits(mbps_max=1), idle_timeout_s=600) as place:
        await place.server()
        client, _, server = await place.player()
        loop = asyncio.get_running_loop()
        started_s = loop.time()

        server.say(seen(1) * 30_000)  # 210 KB, of which 31 at once
        await place.town.news.until(lambda: place.dialing._bucket.is_empty(loop.time()))
        refused = await place.refusal()
        await place.town.news.until(lambda: client.packets.count(seen(1)) == 30_000)

        assert refused.reason == "the host: its line is full: all of 1 Mbit/s is used"
        assert loop.time() - started_s > 1.0


async def test_who_says_something_else_than_a_server_ends_is_dismissed_as_ever(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server(dismissed(3))
        _, conn = await place.arrives()
        place.town.bridge.say(place.to_host(conn))

        refused = await place.town.bridge.hears(Entered, conn=conn, ok=False)

        assert "refused with 0081" in refused.reason
