"""The surprises of stock rAthena (FACTS 14) that bridge and relay have to mend: the twins have them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from libs.rathena import inter
from libs.rathena.values import ip_bytes
from tests.rathena.twin.char_core import CannotLogIn
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.effects import CHAR
from tests.rathena.twin.mapserver import TwinMap
from tests.rathena.twin.people import STORAGE_TABLE, empty_storage
from tests.rathena.twin.process import TwinProcess
from tests.rathena.twin.town import PEOPLE, PORTAL, Town

FIRST, SECOND = PEOPLE[:2]


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with Town.running() as running:
        yield running


def told(server: TwinMap, packet: inter.OtherMaps | inter.Storage) -> None:
    """As if the char-server had said it."""
    server.shell.run(server.core.received(CHAR, packet.pack(), server.shell.now_ms()))


async def test_a_third_map_server_is_refused_and_ends(town: Town) -> None:
    await town.field_and_city()

    third = await town.map_server("payon")

    assert (await third.exited()).code == 1
    assert len(town.char.core.slots) == 2


async def test_a_map_server_that_is_told_its_own_address_for_a_map_it_has_not_ends(town: Town) -> None:
    field = await town.map_server("prt_fild08")

    told(field, inter.OtherMaps.of(ip_bytes("127.0.0.1"), field.port, [b"prt_fild08"]))
    assert not field.core.ended, "its own map is no harm"
    told(field, inter.OtherMaps.of(ip_bytes("127.0.0.1"), field.port, [b"prontera"]))

    assert (await field.exited()).code == 1


async def test_a_local_map_has_priority(town: Town) -> None:
    field, _ = await town.field_and_city()
    player = await town.player()
    field.host("prontera")

    player.walk(170, 378)
    await player.until(lambda: player.core.map == "prontera" and player.core.standing)

    assert player.core.reconnects == 0
    assert town.on(field) is not None


async def test_where_no_other_server_is_known_a_portal_costs_the_connection(town: Town) -> None:
    field = await town.map_server("prt_fild08", warps=PORTAL)
    player = await town.player()

    player.walk(170, 378)
    await player.until(lambda: player.core.disconnects)
    await field.shell.until(lambda: town.on(field) is None)

    assert [why for _, why in player.core.disconnects] == ["0081/0"]


async def test_the_last_word_on_a_map_counts(town: Town) -> None:
    field, city = await town.field_and_city()

    told(field, inter.OtherMaps.of(ip_bytes("10.9.8.7"), 99, [b"prontera"]))

    assert field.core.remote["prontera"] == (ip_bytes("10.9.8.7"), 99)
    assert field.core.remote["izlude"] == (ip_bytes("127.0.0.1"), city.port)


async def test_an_instance_belongs_to_its_process(town: Town) -> None:
    field, city = await town.field_and_city()
    field.core.add_instance("1@tower")
    player = await town.player()

    player.warp("1@tower", 10, 10)
    await player.until(lambda: player.core.map == "1@tower" and player.core.standing)

    assert player.core.reconnects == 0
    assert "1@tower" not in city.core.remote


async def test_players_stay_while_the_link_is_down_and_are_told_again(town: Town) -> None:
    field = await town.map_server("prt_fild08", reconnect_first_ms=50)
    player = await town.player()

    field.drop_link()
    await field.shell.until(lambda: field.core.relinks == 1 and field.core.ready)
    await town.char.until(lambda: town.store.online == {FIRST.char_id: 0})

    assert player.core.connected
    assert len(town.store.arrived(0x2AFA)) == len(town.store.arrived(0x2AFF)) == 2
    assert len(town.store.arrived(0x3040)) == 1


async def test_a_final_save_that_nobody_confirmed_is_said_again_after_a_relink(town: Town) -> None:
    field = await town.map_server("prt_fild08", reconnect_first_ms=200)
    player = await town.player()
    player.attack()
    await player.until(lambda: player.core.zeny == 1_010)

    field.drop_link()
    await field.shell.until(lambda: not field.core.linked)
    player.leave()
    await field.shell.until(lambda: town.on(field) is None)

    assert field.core.relinks == 1
    assert town.store.saved(FIRST.char_id).zeny == 1_010
    assert town.store.online == {}


async def test_without_2b21_the_final_save_is_repeated(town: Town) -> None:
    field = await town.map_server("prt_fild08", final_check_ms=20, final_retry_ms=40)
    await town.player()
    del town.store.chars[FIRST.char_id]  # the twin char-server ignores what is not its own, as the stock one a wrong size

    field.drop(FIRST.account_id)
    await town.char.until(lambda: len(town.store.arrived(0x2B01)) == 3)

    assert town.on(field) is not None


async def test_an_inventory_nobody_asked_for_gives_a_stray_2afc(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    await town.player()
    answer = empty_storage(1, FIRST.char_id)

    told(field, inter.Storage(account_id=FIRST.account_id, table=1, result=1, storage=answer))
    told(field, inter.Storage(account_id=FIRST.account_id, table=STORAGE_TABLE, result=1, storage=answer))
    await town.char.until(lambda: len(town.store.arrived(0x2AFC)) == 2)

    assert {line.key.account_id for line in town.store.arrived(0x2AFC)} == {FIRST.account_id}


async def test_who_is_in_the_game_cannot_log_in_again_and_is_kicked_for_it(town: Town) -> None:
    field = await town.map_server("prt_fild08")
    player = await town.player()

    with pytest.raises(CannotLogIn):
        town.char.login(FIRST.account_id)
    await player.until(lambda: player.core.disconnects)
    await field.shell.until(lambda: town.on(field) is None)

    assert town.char.login(FIRST.account_id).char_id == FIRST.char_id


async def test_an_unknown_packet_costs_the_link(town: Town) -> None:
    field = await town.map_server("prt_fild08", reconnect_first_ms=50)

    field.core.say(b"\xff\x7f")
    field.shell.run(field.core.out.take())
    await field.shell.until(lambda: field.core.relinks == 1 and field.core.ready)

    assert [bad.packet_id for bad in town.char.shell.broken_streams] == [0x7FFF]


async def test_the_stale_save_of_a_resumed_server_overwrites_a_newer_one() -> None:
    """Stopped with SIGSTOP, its player moved to another server by 2b05, resumed: stock accepts what it says."""
    async with AsyncExitStack() as stack:

        async def start(*words: str) -> TwinProcess:
            return await stack.enter_async_context(TwinProcess.started(*words))

        char = await start("char", "--people", "1", "--map", "prt_fild08")
        field = await start("map", "--char", f"127.0.0.1:{char.port}", "--maps", "prt_fild08", "--set", f"autosave_ms={60_000}")
        player = TwinClient(await char.login(FIRST.account_id))
        stack.push_async_callback(player.stop)
        await player.enter()
        player.attack()
        await player.until(lambda: player.core.zeny == 1_010)

        field.freeze()
        await char.ask("drop_slot", number=0)  # the char-server gives it up
        spare = await start("map", "--char", f"127.0.0.1:{char.port}", "--maps", "prt_fild08", "--set", "autosave_ms=200")
        again = TwinClient(await char.login(FIRST.account_id))
        stack.push_async_callback(again.stop)
        await again.enter()
        for _ in range(5):
            again.attack()
        await again.until(lambda: again.core.zeny == 1_050)
        await spare.ask("save")
        newest = await char.ask("saved", char=FIRST.char_id)
        player.leave()
        field.thaw()
        await field.ask("linked")
        await char.ask("wait_saved", char=FIRST.char_id, zeny=1_010)

        assert newest["zeny"] == 1_050
        assert again.core.connected


async def test_a_killed_process_is_gone_without_a_word(tmp_path: Path) -> None:
    log = tmp_path / "map.jsonl"
    async with AsyncExitStack() as stack:
        char = await stack.enter_async_context(TwinProcess.started("char", "--people", "1", "--map", "prt_fild08"))
        words = ("map", "--char", f"127.0.0.1:{char.port}", "--maps", "prt_fild08", "--maps", "izlude", "--log", str(log))
        both = await stack.enter_async_context(TwinProcess.started(*words))
        assert [await both.ask("linked", server=n) for n in (0, 1)] == [True, True]
        player = TwinClient(await char.login(FIRST.account_id))
        stack.push_async_callback(player.stop)
        await player.enter()
        slots = await char.ask("slots")

        both.kill()
        await player.gone()

        assert {slot["maps"][0]: slot["port"] for slot in slots} == dict(zip(("prt_fild08", "izlude"), both.ports, strict=True))
        assert await both.ended() == -9
        assert await char.ask("save_counts") == {}
        events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
        assert events == ["linked", "linked", "entered"]


async def test_a_process_tells_the_address_it_is_told_to() -> None:
    async with AsyncExitStack() as stack:
        char = await stack.enter_async_context(TwinProcess.started("char", "--people", "1", "--map", "prt_fild08"))
        words = ("map", "--char", f"127.0.0.1:{char.port}", "--maps", "prt_fild08", "--node-address", "10.1.2.3:7777")
        field = await stack.enter_async_context(TwinProcess.started(*words))
        ticket = await char.login(FIRST.account_id)

        player = TwinClient(ticket, ("127.0.0.1", field.port))
        stack.push_async_callback(player.stop)
        await player.enter()
        instances = [await field.ask("instance", map="1@tower"), (await field.ask("state"))["maps"]]

        assert (ticket.ip, ticket.port) == ("10.1.2.3", 7777)
        assert instances == [None, ["1@tower", "prt_fild08"]]
        assert (await field.ask("players"))[str(FIRST.account_id)]["map"] == "prt_fild08"


async def test_sigterm_ends_a_process_as_rathena_ends() -> None:
    async with AsyncExitStack() as stack:
        char = await stack.enter_async_context(TwinProcess.started("char", "--people", "1", "--map", "prt_fild08"))
        field = await stack.enter_async_context(
            TwinProcess.started("map", "--char", f"127.0.0.1:{char.port}", "--maps", "prt_fild08")
        )
        player = TwinClient(await char.login(FIRST.account_id))
        stack.push_async_callback(player.stop)
        await player.enter()

        field.terminate()
        await player.until(lambda: player.core.disconnects)

        assert await field.ended() == 0
        assert [why for _, why in player.core.disconnects] == ["0081/15"]
        assert [line["final"] for line in await char.ask("saves")] == [1]
        assert await char.ask("online") == {}
