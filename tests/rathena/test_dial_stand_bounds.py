"""How many connections stand between a relay and a host, and when they end: real sockets and nats-server."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from libs.bus.embedded import EmbeddedServer
from libs.link.alive import ALIVE_S
from libs.link.messages import ServerLost, Stand, Wished
from services.agent import standing as agent_standing
from services.agent.dialing import Limits
from tests.rathena.dial_lab import HOST, dial_lab
from tests.rathena.dial_stand import ready, stand, standing, wish
from tests.rathena.relay_words import WALK

pytestmark = pytest.mark.nats


async def test_a_host_says_how_many_may_stand(nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with dial_lab(tmp_path, nats_server.url, limits=Limits(players_max=3)) as place:
        await place.server()
        wish(place, 8)
        await stand(place, 3)

        for _ in range(3):
            await place.player()
        full = await place.refusal()

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
