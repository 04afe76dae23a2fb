"""What the log says is what the players did, and its judges find nothing: enters, leaves, census, moves; replay and audit."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

from libs.config import load
from libs.events import MapEnter, MapLeave
from services.ops.audit import Audit, Rules
from services.ops.reading import read_log
from services.ops.replay import verify
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD, TOWN
from tests.rathena.twin.client import TwinClient

PLAYERS = 8
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def test_the_log_tells_what_the_players_did_and_is_without_fault(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, hosts=3) as realm:
        players = await realm.enter_all(PLAYERS)
        await play(realm, players)

        await realm.until(lambda: all(census(realm, name) == on(players, name) for name in (FIELD, TOWN)), "the census agrees")
        for player in players:
            visited = [name for name, _ in groupby(name for _, name in player.core.loads)]
            assert entered(realm, player) == visited
            assert left(realm, player) == (visited if player.core.quit_granted else visited[:-1])
        moves = [(move.kind, move.outcome, move.map) for move in realm.moved]
        assert moves == [("orderly", "moved", FIELD), ("death", "moved", FIELD), ("orderly", "moved", FIELD)]
        await assert_without_fault(realm)


async def play(realm: Realm, players: Sequence[TwinClient]) -> None:
    """To the field, onto a host, its death, a drain, back to town for two, one logs out."""
    await realm.to_field(players)
    first = await realm.hosted()
    await realm.loads_after(players, first.servers.running[FIELD].kill)
    second = await realm.hosted()
    await realm.attack(players)
    for player in players[:2]:
        player.walk(10, 10)
        await player.until(lambda player=player: player.core.map == TOWN and player.core.standing)
    await realm.loads_after(players[2:], lambda: realm.drain(second.id))
    await realm.until(lambda: len(realm.moved) == 3, "three moves are said")
    players[7].logout()
    await players[7].gone()


def on(players: Sequence[TwinClient], name: str) -> int:
    return sum(player.core.map == name and player.core.connected for player in players)


def census(realm: Realm, name: str) -> int:
    said = realm.world.map(name).census  # type: ignore[arg-type]
    return sum(said.players.values()) if said else -1


def entered(realm: Realm, player: TwinClient) -> list[str]:
    return [event.map for event in realm.said(MapEnter) if event.char_id == player.core.who.char_id]


def left(realm: Realm, player: TwinClient) -> list[str]:
    return [event.map for event in realm.said(MapLeave) if event.char_id == player.core.who.char_id]


async def assert_without_fault(realm: Realm) -> None:
    log = await read_log(realm.bus)
    audit = Audit(Rules.of(load(None, realm.stack.options.environ)))
    for facts in (log.hosts, log.maps, log.assignments):
        audit.feed_all(facts)
    assert audit.findings() == []
    report = await asyncio.to_thread(verify, log)
    assert not report.differences
    assert report.decisions == len(log.assignments) > 0
