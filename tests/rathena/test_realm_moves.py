"""Orderly moves of 50 players: promotion, drain, and back to the VPS. Nobody is disconnected, nothing is lost.

One round; with KAFRA_PROVE=1 four. The milliseconds are judged by bench/rows.py.
"""

from pathlib import Path

import pytest

from tests.rathena.figures import count, tell
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD, TOWN
from tests.rathena.twin.client import TwinClient

ROUNDS = count(1, 4)
PLAYERS = 50
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120 + 30 * ROUNDS)]


async def test_promotion_drain_and_the_way_back_lose_nothing(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS) as realm:
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players)
        ms: list[float] = []

        for _ in range(ROUNDS):
            await earn(realm, players)
            await realm.add_hosts(2)
            first = await realm.hosted()
            ms += await arrived(realm, players, to=first.id)

            await earn(realm, players)
            realm.drain(first.id)
            await realm.until(lambda first=first: realm.serving() not in (first, None), "another host has it")
            second = await realm.hosted(warm=False)
            ms += await arrived(realm, players, to=second.id)

            await earn(realm, players)
            realm.drain(second.id)
            ms += await arrived(realm, players, to=None)

        assert realm.undisturbed()
        assert {move.kind for move in realm.moved} == {"orderly"}
        tell("orderly move, hold to load-end", ms)


async def earn(realm: Realm, players: list[TwinClient]) -> None:
    """What only the map-server knows until it saves."""
    await realm.attack(players, times=2)
    for player in players:
        player.take()


async def arrived(realm: Realm, players: list[TwinClient], *, to: str | None) -> list[float]:
    """Waits until the move there is said; then what the char-server has is what the players had. ms of each player."""
    await realm.until(lambda: realm.moved and (realm.moved[-1].to, realm.moved[-1].map) == (to, FIELD), f"the move to {to}")
    assert realm.moved[-1].players == PLAYERS
    had = [(player.core.zeny, player.core.base_exp) for player in players]
    await realm.kept(players)
    await realm.in_play(players)
    assert [(player.core.zeny, player.core.base_exp) for player in players] == had
    return (await realm.status("relay"))["held_ms"][-PLAYERS:]


async def test_who_leaves_a_host_by_a_portal_keeps_what_he_earned_there(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=6, hosts=1) as realm:
        players = await realm.enter_all(6)
        await realm.to_field(players)
        await realm.hosted(warm=False)

        await realm.attack(players, times=3)
        for player in players:
            player.walk(10, 10)
        for player in players:
            await player.until(lambda player=player: player.core.map == TOWN and player.core.standing)

        assert {(player.core.zeny, player.core.base_exp) for player in players} == {(1_030, 21)}
        await realm.kept(players)
        assert realm.undisturbed()
