"""The twin client against the recorded ones (OpenKore): told what they were told, it enters, loads and moves on as they did."""

from itertools import pairwise

import pytest

from libs.rathena import client
from libs.rathena.values import ip_text
from tests.rathena import captured
from tests.rathena.twin.char_core import Ticket
from tests.rathena.twin.client_core import ClientCore
from tests.rathena.twin.effects import Dial, Effect, Send, id_of
from tests.rathena.twin.replay import Happening, happenings

COMPARED = {0x0436, 0x007D}
"""What the protocol makes a client say; the rest is how it plays, and 0360 its own clock."""
LEGS = [
    (name, leg)
    for name in captured.scenarios()
    for leg in sorted({p.leg for p in captured.packets(name) if p.dir == "client>relay"})
]


def replayed(scenario: str, leg: str) -> tuple[list[bytes], list[bytes], list[Effect]]:
    """(recorded, produced) of COMPARED, and everything the twin wanted."""
    told = [h for h in happenings(scenario, "client/") if h.leg == leg]
    recorded = [h.packet for h in told if h.dir == "client>relay" and id_of(h.packet) in COMPARED]
    twin = ClientCore(_ticket(told), ("127.0.0.1", 1), load_ms=0)
    effects = twin.opened(0, 0)
    if told[0].event == "already_open":
        effects.clear()
    for happening in told:
        if happening.dir == "relay>client" and twin.connected:
            effects += twin.received(0, happening.packet, int(happening.t_ms))
    said = [effect.data for effect in effects if isinstance(effect, Send)]
    return recorded, [packet for packet in said if id_of(packet) in COMPARED], effects


def _ticket(told: list[Happening]) -> Ticket:
    for happening in told:
        if happening.dir == "client>relay" and id_of(happening.packet) == client.Enter.packet_id:
            enter = client.Enter.unpack(happening.packet)
            return Ticket(enter.account_id, enter.char_id, enter.login_id1, 0, enter.sex, "", "", 0)
    return Ticket(0, 0, 0, 0, 0, "", "", 0)


def _without_clock(packet: bytes) -> bytes:
    return packet[:14] + packet[22:] if id_of(packet) == client.Enter.packet_id else packet


@pytest.mark.parametrize(("scenario", "leg"), LEGS)
def test_the_twin_enters_and_loads_as_the_recorded_client_did(scenario: str, leg: str) -> None:
    recorded, produced, _ = replayed(scenario, leg)

    assert list(map(_without_clock, produced)) == list(map(_without_clock, recorded))


def test_the_twin_follows_every_recorded_0ac7_to_the_address_where_the_recorded_client_appeared() -> None:
    followed = 0
    for scenario, leg in LEGS:
        moves = [p.packet for p in captured.packets(scenario) if (p.leg, p.dir, p.packet_id) == (leg, "relay>client", 0x0AC7)]
        dials = [effect for effect in replayed(scenario, leg)[2] if isinstance(effect, Dial)]
        wanted = [client.ServerMove.unpack(packet) for packet in moves]
        assert [(dial.ip, dial.port) for dial in dials] == [(ip_text(move.ip), move.port) for move in wanted]
        followed += len(dials)

    assert followed == 5


def test_a_client_that_is_sent_away_leaves() -> None:
    told = happenings("s6b_host_sigterm", "client/9")
    twin = ClientCore(_ticket(told), ("127.0.0.1", 1))
    twin.opened(0, 0)

    for before, after in pairwise(h for h in told if h.dir == "relay>client"):
        assert twin.connected, before
        twin.received(0, after.packet, int(after.t_ms))

    assert [why for _, why in twin.disconnects] == ["0081/15"]
    assert not twin.connected
