"""A host's map-server that stood still and goes on after its players were given to another: nothing it says reaches the
char-server, and it settles (DESIGN D6)."""

from pathlib import Path

import pytest

from tests.rathena.hosting import TwinHost
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD
from tests.rathena.twin.client import TwinClient

PLAYERS = 10
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def test_after_silence_and_failover_no_stale_byte_reaches_the_char_server(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, hosts=2) as realm:
        players, zombie = await played_on_a_host(realm)
        server = zombie.servers.running[FIELD]

        await realm.loads_after(players, zombie.freeze)
        await realm.attack(players, times=5)
        await realm.kept(players)
        before = await realm.char.ask("saves")
        zombie.thaw()

        await realm.emptied(server)
        await realm.attack(players)
        await realm.kept(players)
        assert realm.undisturbed()
        await assert_only_the_new_server_wrote(realm, before)


async def test_a_banned_host_that_goes_on_writing_is_not_heard(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=PLAYERS, hosts=2) as realm:
        players, cheat = await played_on_a_host(realm)
        server = cheat.servers.running[FIELD]
        server.freeze()
        cheat.servers.deaf = True

        await realm.loads_after(players, lambda: realm.ban(cheat.id))
        await realm.attack(players, times=5)
        await realm.kept(players)
        before = await realm.char.ask("saves")
        server.thaw()

        await realm.emptied(server)
        await realm.attack(players)
        await realm.kept(players)
        assert realm.undisturbed()
        await assert_only_the_new_server_wrote(realm, before)


async def played_on_a_host(realm: Realm) -> tuple[list[TwinClient], TwinHost]:
    """Everybody on the field of a host, with zeny that is saved and some that is not."""
    players = await realm.enter_all(PLAYERS)
    await realm.to_field(players)
    host = await realm.hosted()
    await realm.attack(players)
    await realm.kept(players)
    await realm.attack(players, times=3)
    return players, host


async def assert_only_the_new_server_wrote(realm: Realm, before: list[dict[str, int]]) -> None:
    """before: the saves up to the zombie's return. From then on nobody has less than he had."""
    zeny = {save["char_id"]: save["zeny"] for save in before}
    later = (await realm.char.ask("saves"))[len(before) :]
    assert {save["char_id"] for save in later} == set(zeny)
    stale = [save for save in later if save["zeny"] < zeny[save["char_id"]]]
    assert not stale, stale
    assert (await realm.status("bridge"))["reports"]["fenced"] >= PLAYERS
