"""A host that lies. It serves players as any host does, and besides says to the bridge whatever it likes; nothing of that
reaches the char-server, it is reported, and nobody else is harmed (DESIGN D6, section 7)."""

from pathlib import Path
from typing import Any

import pytest

from libs.rathena import inter
from libs.rathena.structs import shipped
from libs.rathena.tables import MAP_TO_CHAR, VARIABLE
from services.bridge.policy import UP, Rule
from tests.rathena.forging import Stranger
from tests.rathena.hosting import TwinHost
from tests.rathena.realm import Realm
from tests.rathena.surroundings import FIELD, TOWN
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.people import person, status_of
from tests.rathena.twin.process import TwinProcess

FORGED_ZENY = 66_666
REFUSED = sorted(packet_id for packet_id, row in UP.items() if row.rule is Rule.REFUSED)
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def test_saves_of_anothers_character_do_not_arrive(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=4, hosts=2) as realm:
        liar, own, others = await serving_liar(realm)
        for victim in others:
            await say(liar, save_of(victim, final=0), save_of(victim, final=1), storage_of(victim), offline(victim))
            await say(liar, save_of(own, final=1, inside=victim))

        await everybody_saves(realm, [own, *others])
        assert not [save for save in await realm.char.ask("saves") if save["zeny"] == FORGED_ZENY]
        theirs = {str(client.core.who.char_id) for client in realm.clients}
        assert set(await realm.char.ask("save_counts")) <= theirs
        assert (await reports(realm))["fenced"] >= 4 * len(others)
        assert realm.undisturbed()


async def test_no_refused_packet_arrives(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=4, hosts=2) as realm:
        liar, own, others = await serving_liar(realm)
        before = await realm.char.ask("arrivals")

        for who in (own, *others):
            await say(liar, *(framed(packet_id, who) for packet_id in REFUSED))

        await everybody_saves(realm, [own, *others])
        after = await realm.char.ask("arrivals")
        arrived = {packet_id: count for packet_id, count in after.items() if count != before.get(packet_id, 0)}
        assert not arrived.keys() & {f"{packet_id:04x}" for packet_id in REFUSED}, arrived
        assert (await reports(realm))["refused"] >= len(REFUSED) * (1 + len(others))
        assert realm.undisturbed()


async def test_a_host_cannot_ask_for_anothers_player_nor_move_one_with_wrong_ids(tmp_path: Path) -> None:
    async with Realm.running(tmp_path, players=4, hosts=2) as realm:
        liar, own, others = await serving_liar(realm)
        before = await realm.char.ask("arrivals")
        shown1, shown2 = await liar.ask("ids", account=own.core.who.account_id)

        await say(liar, *(auth_request(victim, victim.core.who.login_id1) for victim in (own, *others)))
        await say(liar, *(change(victim, shown1, shown2) for victim in others))
        await say(liar, change(own, shown1, shown2 ^ 1), change(own, own.ticket.login_id1, own.ticket.login_id2))

        await everybody_saves(realm, [own, *others])
        after = await realm.char.ask("arrivals")
        assert [after.get(packet_id, 0) - before.get(packet_id, 0) for packet_id in ("2b26", "2b05")] == [0, 0]
        found = await reports(realm)
        assert found["forged"] >= 1 + len(others) + 2
        assert found["fenced"] >= len(others)
        assert realm.undisturbed()


@pytest.mark.parametrize("noise", [b"\xf7\x2a" + bytes(30), b"\x01\x2b\xff\xff" + bytes(70_000)], ids=["unknown", "oversized"])
async def test_what_is_no_packet_costs_a_host_its_link_and_its_players_nothing(tmp_path: Path, noise: bytes) -> None:
    async with Realm.running(tmp_path, players=4, hosts=2) as realm:
        liar, own, others = await serving_liar(realm)
        loads = len(own.core.loads)

        await say(liar, noise)
        await own.until(lambda: len(own.core.loads) > loads and own.core.standing)
        await everybody_saves(realm, [own, *others])

        assert "is cut" in realm.log("bridge")
        assert realm.undisturbed()


async def test_the_stream_of_an_old_link_said_again_does_nothing(tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    async with Realm.running(tmp_path, players=4, hosts=2, host_words=("--records", str(records))) as realm:
        liar, own, others = await serving_liar(realm)
        await everybody_saves(realm, [own, *others])
        host = realm.serving()
        assert host is not None
        said = (records / f"{liar.pid}-0.out").read_bytes()
        await realm.loads_after([own], liar.kill)
        host.servers.deaf = True
        await host.vanish()
        await everybody_saves(realm, [own, *others])
        before = await realm.char.ask("saves")

        async with Stranger.connected(realm.ports["hosts"]) as stranger:
            stranger.say(said)
            await realm.until(lambda: stranger.heard, "it is answered as a link")
            await everybody_saves(realm, [own, *others])

        zeny = {save["char_id"]: save["zeny"] for save in before}
        later = (await realm.char.ask("saves"))[len(before) :]
        assert all(save["zeny"] >= zeny[save["char_id"]] for save in later)
        assert (await reports(realm))["fenced"] >= 1
        assert realm.undisturbed()


async def serving_liar(realm: Realm) -> tuple[TwinProcess, TwinClient, list[TwinClient]]:
    """The host's map-server that lies, the player it serves, and others: on the VPS's core."""
    own, *others = await realm.enter_all(4)
    await realm.to_field([own])
    host: TwinHost = await realm.hosted()
    return host.servers.running[FIELD], own, others


async def everybody_saves(realm: Realm, clients: list[TwinClient]) -> None:
    """They go on playing, and the char-server gets what they have; what was said before it came before it, or never."""
    await realm.attack(clients)
    await realm.kept(clients)


async def reports(realm: Realm) -> dict[str, Any]:
    found: dict[str, Any] = (await realm.status("bridge"))["reports"]
    return found


async def say(liar: TwinProcess, *packets: bytes) -> None:
    await liar.ask("say", packets=[packet.hex() for packet in packets])


def save_of(who: TwinClient, *, final: int, inside: TwinClient | None = None) -> bytes:
    named = (inside or who).core.who
    status = status_of(person(named.account_id - person(0).account_id), TOWN, 1, 1, FORGED_ZENY)
    return inter.SaveChar(account_id=who.core.who.account_id, char_id=who.core.who.char_id, final=final, status=status).pack()


def storage_of(who: TwinClient) -> bytes:
    size = shipped().structs["s_storage"].size
    return inter.StorageSave(
        account_id=who.core.who.account_id, char_id=who.core.who.char_id, table=1, storage=bytes(size)
    ).pack()


def offline(who: TwinClient) -> bytes:
    return inter.CharOffline(account_id=who.core.who.account_id, char_id=who.core.who.char_id).pack()


def auth_request(who: TwinClient, login_id1: int) -> bytes:
    ids = {"account_id": who.core.who.account_id, "char_id": who.core.who.char_id}
    return inter.AuthRequest(**ids, login_id1=login_id1, sex=1, client_ip=bytes(4)).pack()


def change(who: TwinClient, login_id1: int, login_id2: int) -> bytes:
    return inter.ChangeMapServer(
        account_id=who.core.who.account_id,
        char_id=who.core.who.char_id,
        login_id1=login_id1,
        login_id2=login_id2,
        map=TOWN.encode(),
        x=5,
        y=5,
        dest_ip=bytes((127, 0, 0, 1)),
        dest_port=1,
        sex=1,
        client_ip=bytes(4),
        group_id=99,
    ).pack()


def framed(packet_id: int, who: TwinClient) -> bytes:
    """A packet of this id that names the player wherever a name might stand."""
    numbers = who.core.who.account_id.to_bytes(4, "little") + who.core.who.char_id.to_bytes(4, "little")
    length, head = MAP_TO_CHAR.lengths[packet_id], packet_id.to_bytes(2, "little")
    if length == VARIABLE:
        return head + (4 + 80).to_bytes(2, "little") + numbers * 10
    return (head + numbers * (length // 8 + 1))[:length]
