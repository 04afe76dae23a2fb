"""A host's map-server, or the whole host, dies with players in play: nobody is disconnected, everybody is back in play.

20 kills; with KAFRA_PROVE=1 200. The milliseconds are judged by bench/rows.py.
"""

import asyncio
from pathlib import Path

import pytest

from tests.rathena.figures import count, tell
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD

KILLS = count(20, 200)
PLAYERS, HOSTS = 50, 8
CHAIN = {"KAFRA__FAILOVER__BACKUP_HOSTS_COUNT": "7"}
"""Every other host is a backup: backups are refilled every 10 s, and the kills are faster."""
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120 + 6 * KILLS)]


async def test_players_stay_in_the_game_whenever_their_hosts_map_server_is_killed(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, hosts=HOSTS, settings=CHAIN) as realm:
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players)

        ms: list[float] = []
        for _ in range(KILLS):
            host = await realm.hosted()
            ms += await realm.loads_after(players, host.servers.running[FIELD].kill)

        assert realm.undisturbed()
        deaths = [move for move in realm.moved if move.kind == "death"]
        await realm.until(lambda: len([move for move in realm.moved if move.kind == "death"]) == KILLS, "every death is said")
        assert {move.players for move in deaths} == {PLAYERS}
        tell("death of a host's map-server, kill to load-end", ms)


async def test_players_stay_in_the_game_when_a_whole_host_vanishes(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=20, hosts=3) as realm:
        players = await realm.enter_all(20)
        await realm.to_field(players)
        host = await realm.hosted()
        await realm.attack(players)
        await realm.kept(players)

        vanishing: list[asyncio.Task[None]] = []
        ms = await realm.loads_after(players, lambda: vanishing.append(asyncio.create_task(host.vanish())))
        await asyncio.gather(*vanishing)

        assert realm.undisturbed()
        await realm.until(lambda: realm.moved[-1].kind == "death", "the death is said")
        assert (realm.moved[-1].from_, realm.moved[-1].players) == (host.id, 20)
        await realm.until(lambda: not realm.world.host(host.id).is_up, "the host is down")
        assert {player.core.zeny for player in players} == {1_010}
        await realm.attack(players)
        tell("death of a whole host, kill to load-end", ms)


async def test_who_stands_still_after_a_death_stands_there_in_the_database_too(tmp_path: Path) -> None:
    """As of a char-server that writes only what differs from what it has in mind."""
    async with Realm.running(tmp_path, players=3, hosts=2) as realm:
        players = await realm.enter_all(3)
        await realm.to_field(players)
        host = await realm.hosted()
        await realm.kept(players)

        for n, player in enumerate(players):
            player.walk(40 + n, 50)
        for player in players:
            await player.until(lambda core=player.core: core.y == 50)
        await realm.loads_after(players, host.servers.running[FIELD].kill)

        for n, player in enumerate(players):
            core = player.core
            assert (core.map, core.x, core.y) == (FIELD, 40 + n, 50)
            await realm.char.ask("wait_saved", char=core.who.char_id, map=FIELD, x=core.x, y=core.y)
        assert realm.undisturbed()
