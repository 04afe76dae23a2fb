"""The twins among themselves over TCP: what stock rAthena does to players, without Kafra."""

from collections.abc import AsyncIterator

import pytest

from tests.rathena.twin.people import CART, INVENTORY
from tests.rathena.twin.store import LOST
from tests.rathena.twin.town import PEOPLE, Town

FIRST = PEOPLE[0]


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with Town.running() as running:
        yield running


async def test_a_player_logs_in_and_stands_where_he_was(town: Town) -> None:
    field = await town.map_server("prt_fild08")

    player = await town.player()

    assert (player.core.map, player.core.x, player.core.y) == ("prt_fild08", 170, 360)
    assert town.store.online == {FIRST.char_id: 0}
    assert town.on(field) is not None


async def test_what_lets_a_client_in_serves_once(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    first = await town.player()
    first.leave()
    await field.shell.until(lambda: town.on(field) is None)
    again = town.client(1)
    again.core.who = first.ticket

    again.start()
    await again.until(lambda: again.core.disconnects)

    assert [why for _, why in again.core.disconnects] == ["0081/0"]
    assert town.store.online == {}


async def test_an_account_is_in_the_game_once(town: Town) -> None:
    await town.map_server("prt_fild08")
    first = await town.player()
    again = town.client(1)
    again.core.who = first.ticket

    again.start()
    await again.until(lambda: again.core.disconnects)

    assert [why for _, why in again.core.disconnects] == ["0081/8"]
    assert first.core.standing


async def test_a_portal_leads_to_the_other_server_by_a_new_connection(town: Town) -> None:
    field, city = await town.field_and_city()
    player = await town.player()
    player.attack()

    player.walk(170, 378)
    await player.until(lambda: player.core.reconnects and player.core.standing)

    assert (player.core.map, player.core.x, player.core.y) == ("prontera", 156, 180)
    assert town.on(field) is None
    assert town.on(city) is not None
    assert town.store.online == {FIRST.char_id: 1}
    assert player.core.zeny == 1_010
    assert player.core.disconnects == []


async def test_and_back_again(town: Town) -> None:
    await town.field_and_city()
    player = await town.player()
    player.walk(170, 378)
    await player.until(lambda: player.core.reconnects == 1 and player.core.standing)

    player.walk(156, 191)
    await player.until(lambda: player.core.reconnects == 2 and player.core.standing)

    assert (player.core.map, player.core.x, player.core.y) == ("prt_fild08", 170, 370)
    assert not town.store.arrived(0x2B17)


async def test_a_logout_saves_everything_and_frees_the_character(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    player = await town.player()
    player.attack()
    player.attack()
    player.take()
    player.walk(171, 361)
    await player.until(lambda: player.core.x == 171)

    player.logout()
    await field.shell.until(lambda: town.on(field) is None)

    saved = town.store.saved(FIRST.char_id)
    assert (saved.zeny, saved.base_exp, saved.x, saved.y) == (1_020, 14, 171, 361)
    assert [line.final for line in town.store.saves_of(FIRST.char_id)] == [1]
    assert town.store.online == {}
    assert [line.packet_id for line in town.store.log][-6:] == [0x3004, 0x2B1C, 0x2B2E, 0x308B, 0x308B, 0x2B01]


async def test_items_travel_with_their_own_saves_and_are_there_after_the_next_login(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    player = await town.player()
    player.take()
    await player.until(lambda: player.core.items == 1)
    player.leave()
    await field.shell.until(lambda: town.on(field) is None)

    await town.player()

    again = town.on(field)
    assert again is not None
    assert again.storages[INVENTORY] == town.store.chars[FIRST.char_id].storages[INVENTORY]
    assert again.storages[INVENTORY][2:4] == b"\1\0"
    assert again.storages[CART][2:4] == b"\0\0"


async def test_to_the_choice_of_characters_and_back(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    player = await town.player()

    player.char_select()
    await field.shell.until(lambda: town.on(field) is None)
    again = await town.player()

    assert player.core.select_granted
    assert again.core.standing
    assert again.ticket.login_id1 == player.ticket.login_id1


async def test_every_player_is_autosaved(town: Town) -> None:
    await town.map_server("prt_fild08", autosave_ms=200)
    for number in range(3):
        (await town.player(number)).attack()

    await town.char.until(lambda: all(town.store.saved(who.char_id).zeny == 1_010 for who in PEOPLE))

    assert {line.final for line in town.store.saves} == {0}


async def test_a_dead_server_costs_its_clients_their_connection_and_what_was_not_saved(town: Town) -> None:
    field, city = await town.field_and_city()
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


async def test_an_orderly_end_sends_its_clients_away_and_loses_nothing(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    player = await town.player()
    player.attack()
    await player.until(lambda: player.core.zeny == 1_010)

    field.terminate()
    await player.until(lambda: player.core.disconnects)
    await town.char.until(lambda: not town.store.online)

    assert [why for _, why in player.core.disconnects] == ["0081/15"]
    assert (await field.exited()).code == 0
    assert town.store.saved(FIRST.char_id).zeny == 1_010
    assert len(town.store.arrived(0x2B18)) == 1
    assert town.store.save_counts[FIRST.char_id] == 1


async def test_a_kicked_player_is_told_and_saved(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    player = await town.player()

    town.char.kick(FIRST.account_id)
    await player.until(lambda: player.core.disconnects)
    await field.shell.until(lambda: town.on(field) is None)

    assert [why for _, why in player.core.disconnects] == ["0081/2"]
    assert [line.final for line in town.store.saves_of(FIRST.char_id)] == [1]


async def test_a_silent_client_is_dropped_and_saved(town: Town) -> None:
    field = await town.map_server("prt_fild08", client_stall_ms=300)
    player = town.client(tick_ms=0)
    await player.enter()

    await player.gone()
    await field.shell.until(lambda: town.on(field) is None)

    assert [line.final for line in town.store.saves_of(FIRST.char_id)] == [1]


async def test_a_client_that_ticks_stays(town: Town) -> None:
    field = await town.map_server("prt_fild08", client_stall_ms=1_000)
    player = town.client(tick_ms=60)
    await player.enter()

    await player.until(lambda: player.core.got[0x007F] >= 20)

    assert town.on(field) is not None
    assert player.core.disconnects == []
