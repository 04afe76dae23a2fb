"""Bridge, relay and control plane together, on the twin of rAthena."""

import asyncio
from pathlib import Path

import pytest

from tests.rathena.realm import POLL_S, WAIT_S, Realm
from tests.rathena.surroundings import FIELD, TOWN

pytestmark = [pytest.mark.nats, pytest.mark.timeout(180)]


async def test_players_log_in_walk_between_servers_and_out_again(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=3, control=()) as realm:
        players = await realm.enter_all(3)
        await realm.to_field(players)
        players[0].attack()
        await players[0].until(lambda: players[0].core.zeny == 1_010)
        players[0].walk(10, 10)
        await players[0].until(lambda: players[0].core.map == TOWN and players[0].core.standing)
        for player in players:
            player.logout()
            await player.gone()

        assert realm.undisturbed_but_for_logout()
        async with asyncio.timeout(WAIT_S):
            while (saved := await realm.char.ask("saved", char=150_001))["map"] != TOWN:  # noqa: ASYNC110 - another process
                await asyncio.sleep(POLL_S)
        assert saved["zeny"] == 1_010


async def test_a_host_gets_the_map_and_when_it_dies_nobody_is_disconnected(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=10, hosts=2) as realm:
        players = await realm.enter_all(10)
        await realm.to_field(players)
        first = await realm.hosted()
        for player in players:
            player.attack()
            await player.until(lambda player=player: player.core.zeny == 1_010)

        loads = [len(player.core.loads) for player in players]
        first.servers.running[FIELD].kill()
        for player, before in zip(players, loads, strict=True):
            await player.until(lambda player=player, before=before: len(player.core.loads) > before and player.core.standing)

        assert realm.undisturbed()
        assert realm.serving() is not first
        await realm.until(lambda: realm.moved and realm.moved[-1].kind == "death", "the move is said")
        assert (realm.moved[-1].outcome, realm.moved[-1].players) == ("moved", 10)
