"""A host's map-server, or the whole host, dies with players in play: nobody is disconnected, everybody is back in play.

20 kills; with KAFRA_PROVE=1 200. The milliseconds are judged by bench/rows.py.
"""

from pathlib import Path

import pytest

from tests.rathena.figures import count, tell
from tests.rathena.realm import FIELD, Realm

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
