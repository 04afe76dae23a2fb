"""A host is paused while players play there: they are moved in order, its map-server ends, and afterwards it is there again."""

from pathlib import Path

import pytest

from libs.events import HostDown
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD

PLAYERS = 6
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def test_a_pause_moves_players_away_in_order_and_the_host_is_there_again_afterwards(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, hosts=2, linked=True) as realm:
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players)
        first = await realm.hosted()
        await realm.attack(players, times=2)

        first.pause(True)
        await realm.until(lambda: realm.moved and realm.moved[-1].to != first.id, "its players are moved away")
        await realm.until(lambda: not first.servers.running, "its map-server has ended")
        moved = realm.moved[-1]

        assert (moved.map, moved.kind, moved.players) == (FIELD, "orderly", PLAYERS)
        assert [down.reason for down in realm.said(HostDown) if down.host == first.id] == ["left"]
        assert realm.world.host(first.id).disconnects_ms == [], "a pause is no disconnect"
        await realm.kept(players)
        await realm.in_play(players)

        first.pause(False)
        await realm.until(lambda: realm.world.host(first.id).is_up, "it is up again")
        assert realm.undisturbed()
