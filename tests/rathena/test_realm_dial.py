"""Players play on a host behind a router that lets nothing in: a whole realm, and a machine in namespaces of its own."""

import asyncio
from pathlib import Path

import pytest

from tests.rathena.nat import HOST_INSIDE, ROUTER_INSIDE, Home, why_not
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD

PLAYERS = 4
WHY_NOT = why_not()
pytestmark = [pytest.mark.nats, pytest.mark.timeout(180), pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "it can be")]


def on(realm: Realm, host: str) -> bool:
    moved = realm.world.map(FIELD).moved
    return moved is not None and (moved.to, moved.outcome) == (host, "moved")


async def test_players_play_on_a_host_that_accepts_no_connection(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, linked=True, outside=ROUTER_INSIDE) as realm:
        nats = realm.stack.server.port
        async with Home.running([nats, realm.ports["hosts"], realm.ports["dials"]]) as home:
            async with home.host(f"nats://{ROUTER_INSIDE}:{nats}", "my_pc"):
                players = await realm.enter_all(PLAYERS)
                await realm.to_field(players)
                await realm.until(lambda: on(realm, "my_pc"), "the host has the map")
                await realm.in_play(players)
                await realm.attack(players, times=3)
                await realm.kept(players)

                listening = await asyncio.to_thread(home.listens)
                assert {address for address, _ in listening} == {"127.0.0.1"}, "but to its own machine"
                port = next(port for _, port in listening)
                assert not await asyncio.to_thread(home.lets_in, port, from_router=True)
                assert not await asyncio.to_thread(home.lets_in, port, from_router=False)
                assert (await realm.status("relay"))["dialled"] == PLAYERS
                assert HOST_INSIDE not in realm.log("relay") + realm.log("bridge")

            await realm.until(lambda: not on(realm, "my_pc"), "the host is gone, and the map on the VPS")
            await realm.in_play(players)
            await realm.attack(players)
            await realm.kept(players)

        assert realm.undisturbed()
