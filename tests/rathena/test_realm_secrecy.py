"""What a host's machine gets to see: of no player the real session ids, of no player the address (DESIGN section 7, D12).

Its map-server records every byte of bridge and relay, from its start on.
"""

from pathlib import Path

import pytest

from libs.rathena.values import ip_bytes
from tests.rathena.realm import Realm, address_of
from tests.rathena.surroundings import FIELD, TOWN
from tests.rathena.twin.client import TwinClient

PLAYERS = 6
pytestmark = [pytest.mark.nats, pytest.mark.timeout(120)]


async def test_hosts_see_no_session_id_and_no_address_of_a_player(tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    async with Realm.running(tmp_path, players=PLAYERS, hosts=2, host_words=("--records", str(records))) as realm:
        players = await realm.enter_all(PLAYERS)
        await play_everywhere(realm, players)

        seen = b"\\0".join(path.read_bytes() for path in sorted(records.glob("*.in")))
        for number, player in enumerate(players):
            who = player.core.who
            assert who.account_id.to_bytes(4, "little") in seen, "the recording holds what a host needs to know"
            for secret in (player.ticket.login_id1, player.ticket.login_id2):
                assert secret.to_bytes(4, "little") not in seen
                assert secret.to_bytes(4, "big") not in seen
            assert ip_bytes(address_of(number)) not in seen
            assert ip_bytes(address_of(number))[::-1] not in seen
        assert b"127.77." not in seen


async def play_everywhere(realm: Realm, players: list[TwinClient]) -> None:
    """In by the portal, a host's death, words, out by the portal, logout and login on the host's map."""
    await realm.to_field(players)
    first = await realm.hosted()
    await realm.attack(players)
    players[0].whisper(players[1].name, b"hello")
    await players[1].until(lambda: players[1].core.whispers)
    await realm.loads_after(players, first.servers.running[FIELD].kill)
    await realm.attack(players)
    players[0].walk(10, 10)
    await players[0].until(lambda: players[0].core.map == TOWN and players[0].core.standing)
    players[0].whisper(players[1].name, b"from the town")
    await players[1].until(lambda: len(players[1].core.whispers) > 1)
    players[2].logout()
    await players[2].gone()
    players[2] = await realm.enter(2)
    assert players[2].core.map == FIELD
    await realm.attack(players)
    assert realm.undisturbed_but_for_logout()
