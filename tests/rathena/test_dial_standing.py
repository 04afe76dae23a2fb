"""Connections that stand between a relay and a host, and players who come by them: real sockets and nats-server, as
test_dial_net.py."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.events import HostDial, HostDialReply
from libs.link.alive import ALIVE_S
from libs.link.messages import Entered, Loaded, ServerLost, Stand, Wished
from services.agent import standing as agent_standing
from services.agent.dialing import Limits
from services.relay import standing as relay_standing
from tests.rathena.dial_lab import FIELD, HOST, DialLab, dial_lab
from tests.rathena.relay_words import LOADED, SHOWN, WALK, map_move, seen, welcome

pytestmark = pytest.mark.nats


def wish(place: DialLab, count: int, **more: Any) -> None:
    hosts = [Wished(host=HOST, key=place.link.key, count=count, **more)] if count else []
    place.town.bridge.say(Stand(hosts=hosts))


async def stand(place: DialLab, count: int) -> None:
    await place.town.news.until(lambda: standing(place) == (count, count))


def standing(place: DialLab) -> tuple[int, int]:
    """At the relay, at the agent."""
    return place.back.reserve.status()["standing"], place.dialing.standing


@contextlib.asynccontextmanager
async def ready(directory: Path, url: str, count: int, **more: Any) -> AsyncIterator[DialLab]:
    """A host with a map-server, and so many connections that stand."""
    async with dial_lab(directory, url, **more) as place:
        await place.server(welcome() + map_move(FIELD, 100, 200))
        wish(place, count)
        await stand(place, count)
        yield place


async def test_a_player_comes_by_a_connection_that_stood_and_nobody_is_asked(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 3) as place:
        assert [dial.map for dial in place.asked] == [None] * 3
        assert place.town.servers[-1].ends == [], "they cost the map-server nothing"
        place.asked.clear()

        client, conn, server = await place.player()
        await place.town.bridge.hears(Loaded, conn=conn, switch=1)
        server.say(seen(1))
        client.say(WALK * 3)
        await client.got(seen(1))
        await place.town.news.until(lambda: server.packets.count(WALK) == 3)

        assert place.asked == []
        assert server.packets[:2] == [SHOWN, LOADED]
        assert standing(place) == (2, 2)
        assert (place.dialing.players, place.dialing.stood_by, place.dialing.dialled) == (1, 1, 0)
        assert (place.counts.dialled, place.back.reserve.used, place.back.reserve.stale) == (1, 1, 0)
        assert place.town.rtts_ms[0][0] == f"{HOST}/{FIELD}"

        client.transport.close()
        await server.until_gone()
        await place.town.news.until(lambda: place.dialing.players == 0)


async def test_what_was_used_is_made_up_for_and_what_is_not_wished_any_more_ends(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relay_standing, "CALM_MS", 200)
    monkeypatch.setattr(relay_standing, "SURPLUS_MS", 200)
    async with ready(tmp_path, nats_server.url, 2) as place:
        await place.player()
        await stand(place, 2)

        wish(place, 0)
        await stand(place, 0)

        assert place.dialing.players == 1
        assert place.back.reserve.opened == 3


async def test_many_come_at_once_and_who_finds_none_is_dialled(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 5, max_connections_per_address=50) as place:
        waiting = [await place.arrives() for _ in range(12)]

        for _, conn in waiting:
            place.town.bridge.say(place.to_host(conn))
        for client, conn in waiting:
            await place.town.bridge.hears(Loaded, conn=conn)
            client.say(WALK)
        server = place.town.servers[-1]
        await place.town.news.until(lambda: all(WALK in end.packets for end in server.ends))

        assert (place.dialing.stood_by, place.dialing.dialled, place.dialing.players) == (5, 7, 12)


async def refusal(place: DialLab) -> Entered:
    before = len(place.town.bridge.told)
    _, conn = await place.arrives()
    place.town.bridge.say(place.to_host(conn))
    return await place.town.bridge.hears(Entered, before, conn=conn, ok=False)


async def test_a_host_that_takes_nobody_says_why_and_the_player_goes_elsewhere(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 2) as place:
        del place.doors[FIELD]
        other = await place.town.server(welcome(31, 41))
        client, conn = await place.arrives()
        place.asked.clear()

        place.town.bridge.say(place.to_host(conn))
        refused = await place.town.bridge.hears(Entered, conn=conn, ok=False)
        place.town.bridge.say(place.town.to(other, 2, conn))
        await client.got(welcome(31, 41)[10:])

        assert refused.reason == "the host: no map-server for this map is ready here"
        assert place.asked == [], "it would have said the same"
        assert (place.dialing.refused, place.dialing.players) == (1, 0)
        assert not client.gone


async def test_a_map_server_that_is_gone_is_said(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 1) as place:
        place.town.servers[-1].stop()

        assert (await refusal(place)).reason == "the host: the map-server: Connection refused"
        await place.town.news.until(lambda: place.dialing.players == 0)


async def test_when_all_were_cut_just_before_players_are_dialled(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 3) as place:
        place.asked.clear()
        for each in place.dialing._standing.pipes:
            each.abort("cut")

        client, _, server = await place.player()
        client.say(WALK)
        await server.got(WALK)

        assert (place.dialing.stood_by, place.dialing.dialled) == (0, 1)
        assert len(place.town.servers[-1].ends) == 1


async def test_one_that_is_cut_in_the_moment_of_its_use_is_not_noticed(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with ready(tmp_path, nats_server.url, 3) as place:

        async def cut(used: Any, _: Any) -> None:
            used.abort("cut")

        monkeypatch.setattr(place.dialing._standing, "_use", cut)
        client, _, server = await place.player()
        client.say(WALK)
        await server.got(WALK)

        assert (place.back.reserve.stale, place.dialing.dialled, place.dialing.players) == (1, 1, 1)
        assert standing(place) == (2, 2), "the others may be good"


async def test_where_one_says_nothing_the_player_is_dialled_and_the_others_are_not_tried(
    nats_server: EmbeddedServer, tmp_path: Path
):
    """As a router's that has forgotten it: nothing comes back."""
    async with ready(tmp_path, nats_server.url, 3) as place:
        for each in place.dialing._standing.pipes:
            assert each.relay.transport is not None
            each.relay.transport.pause_reading()

        client, _, server = await place.player()
        client.say(WALK)
        await server.got(WALK)

        assert (place.back.reserve.stale, place.dialing.dialled) == (1, 1)
        await place.town.news.until(lambda: place.back.reserve.status()["standing"] == 0)
        again, _, server = await place.player()
        again.say(WALK)
        await server.got(WALK)
        assert place.back.reserve.stale == 1


async def test_who_leaves_while_he_is_brought_takes_his_connection_with_him(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 1) as place:
        (one,) = place.dialing._standing.pipes
        assert one.relay.transport is not None
        one.relay.transport.pause_reading()
        client, conn = await place.arrives()
        place.town.bridge.say(place.to_host(conn))
        await place.town.news.until(lambda: place.back.reserve.status()["standing"] == 0)

        client.transport.close()
        await place.town.news.until(lambda: place.dialing._loop.time() and not place.town.shell._clients)
        one.relay.transport.resume_reading()
        await place.town.news.until(one.ended.done)

        assert place.dialing.players == 0
        assert place.counts.dials_failed == 0


async def test_a_host_without_them_is_dialled_as_ever(nats_server: EmbeddedServer, tmp_path: Path):
    """An agent of before refuses, since no map is named."""
    async with dial_lab(tmp_path, nats_server.url) as place:

        async def before(dial: HostDial) -> HostDialReply:
            return await place.dialing.answer(dial) if dial.map is not None else HostDialReply(ok=False, reason="no map")

        place.on_dial = before
        await place.server()
        wish(place, 20)
        await place.town.news.until(lambda: len(place.asked) == relay_standing.OPENING_MAX)

        client, _, server = await place.player()
        client.say(WALK)
        await server.got(WALK)

        assert place.dialing.dialled == 1
        assert len(place.asked) == relay_standing.OPENING_MAX + 1, "it is left alone"


async def test_a_host_says_how_many_may_stand(nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with dial_lab(tmp_path, nats_server.url, limits=Limits(players_max=3)) as place:
        await place.server()
        wish(place, 8)
        await stand(place, 3)

        for _ in range(3):
            await place.player()
        full = await refusal(place)

        assert full.reason == "the host: full: 3 players are here, and no more may be"
        assert place.dialing.stood_by == 3
        assert place.dialing.refused == 1, "who stands by is no player"


async def test_one_relay_has_so_many_of_a_host_and_no_more(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(agent_standing, "PER_RELAY_MAX", 2)
    async with dial_lab(tmp_path, nats_server.url) as place:
        wish(place, 5)

        await stand(place, 2)
        await place.town.news.until(lambda: len(place.asked) == 5)
        assert standing(place) == (2, 2)


async def test_a_relay_that_ends_ends_them(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 2) as place:
        for task in place.back._tasks:
            task.cancel()

        await place.town.news.until(lambda: place.dialing.standing == 0)


async def test_the_kernel_asks_whether_the_other_end_is_there(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 1) as place:
        (one,), (idle,) = place.dialing._standing.pipes, place.back.reserve._brought

        for transport in (one.relay.transport, idle.transport):
            assert transport is not None
            connection = transport.get_extra_info("socket")
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == ALIVE_S


async def test_what_stands_towards_an_agent_of_before_ends(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 2) as place:
        dialing = place.dialing
        place.town.bridge.say(Stand(hosts=[Wished(host=HOST, key="ab" * 32, count=1)]))

        await place.town.news.until(lambda: dialing.standing == 0)


async def test_an_agent_that_ends_ends_them(nats_server: EmbeddedServer, tmp_path: Path):
    async with ready(tmp_path, nats_server.url, 2) as place:
        wish(place, 0)

        await place.dialing.close()

        await stand(place, 0)


async def test_relays_come_to_an_open_port_before_there_is_a_player(nats_server: EmbeddedServer, tmp_path: Path):
    async with dial_lab(tmp_path, nats_server.url) as place:
        await place.server()
        port = await place.dialing.listen(0)
        wish(place, 2, address="127.0.0.1", port=port)
        await stand(place, 2)

        client, conn, server = await place.player(address="127.0.0.1", port=port)
        client.say(WALK)
        await server.got(WALK)

        assert [(dial.address, dial.map) for dial in place.asked] == [("", None)] * 2
        assert (place.dialing.stood_by, place.dialing.let_in) == (1, 0)
        server.cut()
        await place.town.bridge.hears(ServerLost, conn=conn)


@pytest.mark.parametrize("when", ["idle", "asked"])
async def test_who_talks_out_of_turn_is_cut(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
):
    async with ready(tmp_path, nats_server.url, 1) as place:
        (one,) = place.dialing._standing.pipes

        if when == "idle":
            one.relay.write(b"hello")
        else:

            async def talk(used: Any, _: Any) -> None:
                used.relay.write(b"\x00\x00\x00\x05hello")

            monkeypatch.setattr(place.dialing._standing, "_use", talk)
            await place.player()
            assert place.back.reserve.stale == 1
            one.relay.hear_no_more()

        await place.town.news.until(one.ended.done)


async def test_who_is_silent_for_long_stands_still(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Players' connections that say nothing are cut; these have nothing to say."""
    monkeypatch.setattr("services.agent.pipe.IDLE_S", 0.05)
    monkeypatch.setattr("services.agent.pipe.LOOK_S", 0.05)
    async with ready(tmp_path, nats_server.url, 1) as place:
        await asyncio.sleep(0.3)

        assert standing(place) == (1, 1)


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_player_comes_by_a_connection_that_stood_and_nobody_is_asked,
        test_a_host_that_takes_nobody_says_why_and_the_player_goes_elsewhere,
        test_where_one_says_nothing_the_player_is_dialled_and_the_others_are_not_tried,
        test_when_all_were_cut_just_before_players_are_dialled,
    ],
)
def test_the_same_on_the_loop_a_relay_runs_on(
    scenario: Callable[[EmbeddedServer, Path], Coroutine[Any, Any, None]], tmp_path: Path
):
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        server = EmbeddedServer(tmp_path / "nats")
        await server.start()
        try:
            await scenario(server, tmp_path)
        finally:
            await server.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
