"""kill -9 of the bridge, again and again, while 20 players play; and of a relay.

5 kills; with KAFRA_PROVE=1 50.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.relay.table import FRESH_MS
from tests.rathena.figures import count
from tests.rathena.realm import Realm, address_of
from tests.rathena.surroundings import free_ports
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.people import person

KILLS = count(5, 50)
PLAYERS = 20
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120 + 15 * KILLS)]


async def test_however_often_the_bridge_is_killed_players_play_on_and_are_saved(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, hosts=2) as realm:
        players = await realm.enter_all(PLAYERS)
        await realm.to_field(players[: PLAYERS // 2])
        await realm.hosted()
        await realm.in_play(players)
        await asyncio.sleep(2 * FRESH_MS / 1000)  # who entered just before would enter anew
        loads = [len(player.core.loads) for player in players]

        for _ in range(KILLS):
            counts = await realm.char.ask("save_counts")
            realm.signal("bridge", signal.SIGKILL)
            await realm.attack(players, times=2)
            await realm.kept(players)
            later = await realm.char.ask("save_counts")
            assert all(later[char_id] > count for char_id, count in counts.items())
            assert realm.undisturbed()

        assert {player.core.zeny for player in players} == {1_000 + 20 * KILLS}
        assert [len(player.core.loads) for player in players] == loads, "nobody was moved for it"


async def test_who_has_just_entered_when_the_bridge_is_killed_plays(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS) as realm:
        players = await realm.enter_all(PLAYERS)

        realm.signal("bridge", signal.SIGKILL)
        await realm.attack(players, times=2)
        await realm.kept(players)

        assert realm.undisturbed()
        assert {player.core.zeny for player in players} == {1_020}


async def test_a_killed_relay_costs_its_own_players_their_connections_and_they_come_again(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=6, control=()) as realm, second_relay(realm) as port:
        own = await realm.enter_all(3)
        others = [await enter_at(realm, number, port) for number in (3, 4, 5)]
        await realm.attack([*own, *others])

        await realm.kill("relay")
        for player in own:
            await player.until(lambda player=player: player.core.disconnects)
        again = [await realm.enter(number) for number in range(3)]
        await realm.attack([*again, *others])
        await realm.kept([*again, *others])

        assert not any(player.core.disconnects for player in (*again, *others))
        assert {player.core.zeny for player in again} == {1_020}


async def enter_at(realm: Realm, number: int, port: int) -> TwinClient:
    """Through another relay than the first."""
    who = person(number)
    ticket = await realm.char.login(who.account_id)
    client = TwinClient(ticket, ("127.0.0.1", port), name=who.name, local_ip=address_of(number))
    realm.clients.append(client)
    await client.enter()
    return client


@asynccontextmanager
async def second_relay(realm: Realm) -> AsyncIterator[int]:
    """A further relay of the same bridge; its port."""
    port = free_ports("relay")["relay"]
    words = {"KAFRA__RELAY__NAME": "second", "KAFRA__RELAY__LISTEN": f"127.0.0.1:{port}", "KAFRA__RELAY__HOSTS": ""}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.relay"), env=realm.stack.environ() | words, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        while "second" not in (await realm.status("bridge"))["relays"]:  # noqa: ASYNC110 - it is another process's
            await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()
