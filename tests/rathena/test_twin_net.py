"""The twins among themselves over TCP: what stock rAthena does to a player, without Kafra."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.rathena.twin.char import TwinChar
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.map_core import MapConfig
from tests.rathena.twin.mapserver import TwinMap
from tests.rathena.twin.people import person
from tests.rathena.twin.process import TwinProcess
from tests.rathena.twin.store import LOST

PORTAL = {("prt_fild08", 170, 378): ("prontera", 156, 180)}
BACK = {("prontera", 156, 191): ("prt_fild08", 170, 370)}
PEOPLE = [person(n) for n in range(3)]
FIRST = PEOPLE[0]


class Town:
    """A char-server and whatever is started on it; `await stop()` ends all."""

    def __init__(self, char: TwinChar) -> None:
        self.char = char
        self.store = char.store
        self._running: list[TwinMap | TwinClient] = []

    async def map_server(self, *maps: str, **config: object) -> TwinMap:
        server = TwinMap(MapConfig(maps=maps, port=0, char=("127.0.0.1", self.char.port), **config))  # type: ignore[arg-type]
        self._running.append(server)
        await server.start()
        await server.linked()
        return server

    async def player(self, number: int = 0) -> TwinClient:
        ticket = await self.char.login_when_possible(PEOPLE[number].account_id)
        player = TwinClient(ticket, name=PEOPLE[number].name)
        self._running.append(player)
        await player.enter()
        return player

    async def stop(self) -> None:
        for running in reversed(self._running):
            await running.stop()


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with TwinChar.running(PEOPLE, "prt_fild08", 170, 360) as char:
        town = Town(char)
        yield town
        await town.stop()


async def both(town: Town) -> tuple[TwinMap, TwinMap]:
    """The field and the city, each knowing of the other."""
    field = await town.map_server("prt_fild08", warps=PORTAL, autosave_ms=60_000)
    city = await town.map_server("prontera", "izlude", warps=BACK, autosave_ms=60_000)
    await field.shell.until(lambda: "prontera" in field.core.remote)
    return field, city


async def test_a_player_logs_in_and_stands_where_he_was(town: Town) -> None:
    field = await town.map_server("prt_fild08")

    player = await town.player()

    assert (player.core.map, player.core.x, player.core.y) == ("prt_fild08", 170, 360)
    assert town.store.online == {FIRST.char_id: 0}
    assert field.player(FIRST.account_id) is not None


async def test_a_portal_leads_to_the_other_server_by_a_new_connection(town: Town) -> None:
    field, city = await both(town)
    player = await town.player()
    player.attack()

    player.walk(170, 378)
    await player.until(lambda: player.core.reconnects and player.core.standing)

    assert (player.core.map, player.core.x, player.core.y) == ("prontera", 156, 180)
    assert field.player(FIRST.account_id) is None
    assert city.player(FIRST.account_id) is not None
    assert town.store.online == {FIRST.char_id: 1}
    assert player.core.zeny == 1_010
    assert player.core.disconnects == []


async def test_a_logout_saves_everything_and_frees_the_character(town: Town) -> None:
    field = await town.map_server("prt_fild08", autosave_ms=60_000)
    player = await town.player()
    player.attack()
    player.attack()
    player.walk(171, 361)
    await player.until(lambda: player.core.x == 171)

    player.logout()
    await field.shell.until(lambda: field.player(FIRST.account_id) is None)

    saved = town.store.saved(FIRST.char_id)
    assert (saved.zeny, saved.base_exp, saved.x, saved.y) == (1_020, 14, 171, 361)
    assert [line.final for line in town.store.saves_of(FIRST.char_id)] == [1]
    assert town.store.online == {}


async def test_a_dead_server_costs_its_clients_their_connection_and_what_was_not_saved(town: Town) -> None:
    field, city = await both(town)
    player = await town.player()
    player.attack()
    await player.until(lambda: player.core.zeny == 1_010)
    field.save()
    player.attack()
    await player.until(lambda: player.core.zeny == 1_020)

    await field.stop()
    await player.gone()

    assert [why for _, why in player.core.disconnects] == ["closed"]
    await town.char.until(lambda: town.store.online == {FIRST.char_id: LOST})
    assert town.store.saved(FIRST.char_id).zeny == 1_010
    await city.shell.until(lambda: city.core.others == 0)
    assert "prt_fild08" in city.core.remote, "2b20 erases nothing"


async def test_a_third_map_server_is_refused_and_ends(town: Town) -> None:
    await both(town)

    third = await town.map_server("payon")

    assert (await third.exited()).code == 1


async def test_a_killed_process_is_a_dead_server_and_a_stopped_one_a_zombie_whose_save_the_char_server_takes() -> None:
    async with AsyncExitStack() as stack:
        start = lambda *words: stack.enter_async_context(TwinProcess.started(*words))  # noqa: E731
        char = await start("char", "--people", "2", "--map", "prt_fild08")
        field = await start("map", "--char", f"127.0.0.1:{char.port}", "--maps", "prt_fild08", "--set", "autosave_ms=300")
        player = TwinClient(await char.login(FIRST.account_id))
        stack.push_async_callback(player.stop)
        await player.enter()

        field.freeze()
        before = await char.ask("save_counts")
        player.leave()
        await player.gone()
        field.thaw()
        await char.ask("login", account=FIRST.account_id)  # possible only when the zombie's final save has been taken
        saves = await char.ask("saves")
        field.kill()

        assert len(saves) > sum(before.values())
        assert saves[-1]["final"] == 1
        assert await field.ended() == -9
        assert await char.ask("online") == {}
