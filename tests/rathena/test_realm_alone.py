"""The data plane stands alone (DESIGN D5): every control service stopped, NATS stopped. Players play on; a host's death is
answered by the VPS; when all of it returns, the world agrees with what happened."""

import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libs.events import HostId
from services.ops.stack import SERVICES
from tests.rathena.figures import tell
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD, TOWN
from tests.rathena.twin.client import TwinClient

PLAYERS = 12
PASS = {"KAFRA__SECURITY__WHEN_VALIDATOR_AWAY": "pass", "KAFRA__FAILOVER__MIGRATION_TIMEOUT": "300"}
"""The host starts its map-server again after half a second: by then the VPS has the map."""
pytestmark = [pytest.mark.nats, pytest.mark.timeout(180)]


async def test_without_control_services_and_nats_players_play_walk_log_out_and_in(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, hosts=2, settings=PASS) as realm:
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players[:6])
        host = await realm.hosted()
        await realm.attack(players)
        await realm.kept(players)

        async with everything_stopped(realm):
            await realm.attack(players)
            await walk(players[0], (10, 10), TOWN)
            await walk(players[6], (170, 378), FIELD)
            await realm.attack(players)
            players[1], players[7] = await out_and_in(realm, 1), await out_and_in(realm, 7)
            assert (players[1].core.map, players[7].core.map) == (FIELD, TOWN)
            await realm.attack(players)
            assert realm.serving() is host
            tell("death of a host without NATS, kill to load-end", await realm.loads_after(on_field(players), kill_of(realm)))
            await realm.attack(players)
            await realm.kept(players)

        assert realm.undisturbed_but_for_logout()
        await realm.until(lambda: deaths(realm) == [(host.id, "vps")], "the death is said, when NATS is there again")
        await realm.until(lambda: agrees(realm, players), "the world agrees")
        await realm.attack(players)
        await realm.kept(players)


async def test_with_the_shipped_settings_players_are_saved_on_the_vps_when_no_validator_answers(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=4, hosts=1) as realm:
        players = await realm.enter_all(4)
        await realm.to_field(players)
        await realm.hosted(warm=False)
        await realm.attack(players)
        await realm.kept(players)

        async with everything_stopped(realm):
            await realm.attack(players)
            players[1] = await out_and_in(realm, 1)
            assert players[1].core.map == FIELD
            await realm.until(lambda: "-> the VPS" in realm.log("bridge"), "everybody is on the VPS")
            await realm.attack(players)
            await realm.kept(players)
            assert [player.core.zeny for player in players] == [1_030] * 4

        assert realm.undisturbed_but_for_logout()
        await realm.until(lambda: agrees(realm, players), "the world agrees")
        await realm.attack(players)
        await realm.kept(players)


@asynccontextmanager
async def everything_stopped(realm: Realm) -> AsyncIterator[None]:
    """The control services stand still, nats-server has ended; in the end both go on."""
    for name in SERVICES:
        realm.signal(name, signal.SIGSTOP)
    await realm.stack.stop_nats()
    await realm.until(lambda: not realm.bus.connected, "NATS is gone")
    try:
        yield
    finally:
        await realm.stack.start_nats()
        for name in SERVICES:
            realm.signal(name, signal.SIGCONT)


async def walk(player: TwinClient, cell: tuple[int, int], to: str) -> None:
    player.walk(*cell)
    await player.until(lambda: player.core.map == to and player.core.standing)


async def out_and_in(realm: Realm, number: int) -> TwinClient:
    client = realm.clients[number]
    client.logout()
    await client.gone()
    return await realm.enter(number)


def on_field(players: Sequence[TwinClient]) -> list[TwinClient]:
    return [player for player in players if player.core.map == FIELD]


def kill_of(realm: Realm) -> Callable[[], None]:
    host = realm.serving()
    assert host is not None
    return host.servers.running[FIELD].kill


def deaths(realm: Realm) -> list[tuple[HostId | None, str]]:
    return [(move.from_, move.outcome) for move in realm.moved if move.kind == "death"]


def agrees(realm: Realm, players: Sequence[TwinClient]) -> bool:
    """The census is where the players are, and whoever is assigned serves."""
    state = realm.world.map(FIELD)
    counted = sum(state.census.players.values()) if state.census else 0
    host = realm.serving()
    moved = state.moved is not None and state.moved.tenure == state.tenure
    return counted == len(on_field(players)) and (host is None or (moved and FIELD in host.servers.running))
