"""Connections that stand between a relay and a host, and players who come by them: real sockets and nats-server, as
test_dial_net.py."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.events import HostDial, HostDialReply
from libs.link.messages import Entered, Loaded
from services.relay import standing as relay_standing
from tests.rathena.dial_lab import FIELD, HOST, dial_lab
from tests.rathena.dial_stand import ready, stand, standing, wish
from tests.rathena.relay_words import LOADED, SHOWN, WALK, seen, welcome

pytestmark = pytest.mark.nats


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

        assert (await place.refusal()).reason == "the host: the map-server: Connection refused"
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
