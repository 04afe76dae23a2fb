"""A host that takes few players: its map moves once when they become too many, and is not given back while they are."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from libs.events import MapAssign, MapName
from services.agent.dialing import Limits
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD
from tests.rathena.twin.client import TwinClient

OTHER = MapName("pay_fild03")
PLAYERS_MAX, KEPT, PLAYERS = 3, 2, 5
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def come(realm: Realm, players: Sequence[TwinClient]) -> None:
    """One after the other, each counted before the next: the log learns of who came in the same second with the census only."""
    there = realm.world.map(FIELD).player_count
    for number, player in enumerate(players, there + 1):
        await realm.to_field([player])
        await realm.until(lambda wanted=number: counted(realm) == wanted, f"{number} are counted")  # type: ignore[misc]


def counted(realm: Realm) -> int:
    census = realm.world.map(FIELD).census
    return sum(census.players.values()) if census is not None else 0


async def test_a_map_that_outgrows_its_host_moves_once_and_returns_when_there_is_room(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, linked=True) as realm:
        await realm.add_hosts(1, Limits(players_max=PLAYERS_MAX))
        players = await realm.enter_all(PLAYERS)
        await come(realm, players[:1])
        host = await realm.hosted(warm=False)
        await come(realm, players[1:KEPT])
        await realm.attack(players[:KEPT])
        assert realm.serving() is host, "one more may come"

        await come(realm, players[KEPT:])
        await realm.until(lambda: realm.moved[-1].to is None, "all are moved to the VPS")

        assert [moved.outcome for moved in realm.moved if moved.map == FIELD] == ["moved"] * 2
        away = realm.said(MapAssign)[-1]
        assert (away.map, away.kind, away.reason, away.refused) == (FIELD, "vps", "rebalance", {"crowded": 1})
        assert host.dialing is not None
        assert host.dialing.refused == 0, "nobody was turned away for it"

        players[0].walk(10, 20)  # to a map of one player, for whom there is room
        await realm.until(lambda: realm.serving(OTHER) is host, "the host gets another map meanwhile")
        await realm.until(lambda: realm.moved[-1].map == OTHER, "and serves it")
        assert realm.serving() is None, "but not this one back"

        await realm.in_play(players)
        players[0].walk(10, 10)
        await realm.until(lambda: counted(realm) == PLAYERS, "he is back")
        for player in players[1:]:
            player.walk(10, 10)
        await realm.until(lambda: realm.serving() is host, "one player is left, for whom there is room")
        await realm.kept(players)
        assert realm.undisturbed()
