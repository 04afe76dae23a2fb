"""The VPS's map-servers crash and return; instances end with their host; words reach everybody once; a save that cannot be true
does not pass."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD, TOWN
from tests.rathena.twin.client import TwinClient

pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def test_players_of_a_crashed_fallback_are_held_and_back_in_play_when_it_returns(tmp_path: Path) -> None:
    async with AsyncExitStack() as ends, Realm.running(tmp_path, players=10, control=()) as realm:
        players = await realm.enter_all(10)
        await realm.to_field(players)
        await realm.attack(players)
        await realm.kept(players)
        loads = [len(player.core.loads) for player in players]

        realm.fallback.kill()
        await realm.fallback.ended()
        realm.fallback = await ends.enter_async_context(realm.map_server("fallback", f"{FIELD},pay_fild03,prt_fild08"))
        for player, before in zip(players, loads, strict=True):
            await player.until(lambda p=player, n=before: len(p.core.loads) > n and p.core.standing, 30.0)

        assert realm.undisturbed()
        assert {player.core.zeny for player in players} == {1_010}
        await realm.attack(players)
        await realm.kept(players)


async def test_players_of_an_instance_are_at_its_entrance_when_its_host_dies(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=4, hosts=2) as realm:
        players = await realm.enter_all(4)
        await realm.to_field(players)
        host = await realm.hosted()
        server = host.servers.running[FIELD]
        await server.ask("instance", map="1@tower")
        inside = players[:2]
        await realm.attack(players)
        for player in inside:
            player.warp("1@tower", 7, 7)
            await player.until(lambda player=player: player.core.map == "1@tower" and player.core.standing)
        await realm.kept(players)

        await realm.loads_after(players, server.kill)

        assert realm.undisturbed()
        assert {(player.core.map, player.core.x, player.core.y) for player in inside} == {(FIELD, 20, 20)}
        await realm.attack(players)
        await realm.kept(players)


async def test_a_player_goes_back_to_the_choice_of_characters_and_comes_again(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=2, hosts=1) as realm:
        players = await realm.enter_all(2)
        await realm.to_field(players)
        await realm.hosted(warm=False)
        await realm.attack(players)

        players[0].char_select()
        await players[0].gone()
        again = await realm.enter(0)
        await realm.attack([again, players[1]])

        assert players[0].core.select_granted
        assert (again.core.map, again.core.zeny) == (FIELD, 1_020)
        assert realm.undisturbed_but_for_logout()


async def test_words_across_hosts_and_the_vps_arrive_once(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=4, hosts=2, party=7) as realm:
        players = await realm.enter_all(4)
        on_host, in_town = players[:2], players[2:]
        await realm.to_field(on_host)
        await realm.hosted()
        await realm.in_play(players)

        pairs = [(on_host[0], in_town[0]), (in_town[1], on_host[1]), (on_host[0], on_host[1]), (in_town[0], in_town[1])]
        for number, (sender, hearer) in enumerate(pairs):
            sender.whisper(hearer.name, f"whisper {number}".encode())
            wanted = told(pairs, sender, number)
            await sender.until(lambda sender=sender, wanted=wanted: len(sender.core.acks) == wanted)
        on_host[0].whisper(b"Nobody", b"hello")
        await on_host[0].until(lambda: on_host[0].core.acks[-1] == 1)
        for number, player in enumerate(players):
            player.party(f"party {number}".encode())
        for player in players:
            await player.until(lambda player=player: len(party_lines(player)) >= len(players))

        heard = {(hearer.name, line) for hearer in players for _, line in hearer.core.whispers}
        assert heard == {(hearer.name, f"whisper {n}".encode()) for n, (_, hearer) in enumerate(pairs)}
        assert sum(len(player.core.whispers) for player in players) == len(pairs)
        assert [ack for player in players for ack in player.core.acks] == [0, 0, 1, 0, 0]
        assert all(len(party_lines(player)) == len(players) for player in players), "each line once"


async def test_a_save_that_cannot_be_true_does_not_reach_the_store(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=2, hosts=2) as realm:
        cheat, honest = await realm.enter_all(2)
        await realm.to_field([cheat, honest])
        host = await realm.hosted()
        await realm.attack([cheat, honest])
        await realm.kept([cheat, honest])

        await host.servers.running[FIELD].ask("enrich", account=cheat.core.who.account_id, zeny=2_000_000_000)
        await rejected(realm)
        cheat.walk(10, 10)
        await cheat.until(lambda: cheat.core.map == TOWN and cheat.core.standing)
        await realm.attack([cheat, honest])
        await realm.kept([cheat, honest])

        assert (await realm.char.ask("saved", char=cheat.core.who.char_id))["zeny"] == cheat.core.zeny == 1_020
        assert max(save["zeny"] for save in await realm.char.ask("saves")) == 1_020
        assert realm.undisturbed()


async def rejected(realm: Realm) -> None:
    await realm.until_status("bridge", lambda status: status["reports"].get("rejected"), "the save is rejected")


def told(pairs: list[tuple[TwinClient, TwinClient]], sender: TwinClient, number: int) -> int:
    """How many of the first whispers, up to this number, were this sender's."""
    return sum(one is sender for one, _ in pairs[: number + 1])


def party_lines(player: TwinClient) -> list[bytes]:
    return [line for line in player.core.chat if b"party" in line]
