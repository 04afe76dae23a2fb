"""The twin map-server against the recorded ones: told what they were told, it says what they said, to the char-server and to
clients."""

from itertools import pairwise

import pytest

from tests.rathena import captured
from tests.rathena.twin.effects import id_of
from tests.rathena.twin.map_core import MapConfig, MapCore
from tests.rathena.twin.people import empty_storage, person, status_of
from tests.rathena.twin.player import Phase, Player
from tests.rathena.twin.replay_map import TO_CLIENT, UNMODELLED, MapReplay, told_char, told_client

RECORDED = [
    ("s1a_boot_direct", "B"),
    ("s1b_boot_mux", "B"),
    ("s2_login_play_portal", "A"),
    ("s2_login_play_portal", "B"),
    ("s3_kill_failover", "B"),
    ("s3_kill_failover", "F"),
    ("s4_planned_migration", "B"),
    ("s4_planned_migration", "F"),
    ("s5_zombie", "B"),
    ("s5_zombie", "F"),
    ("s6_logout", "B"),
    ("s6b_host_sigterm", "B"),
    ("s7_two_slots", "A"),
    ("s7_two_slots", "B"),
    ("s7b_two_slots_party", "A"),
    ("s7b_two_slots_party", "B"),
]


@pytest.mark.parametrize(("scenario", "node"), RECORDED)
def test_the_twin_says_to_the_char_server_what_the_recorded_map_server_said(scenario: str, node: str) -> None:
    replay = MapReplay(scenario, node).run()

    expected = [told_char(packet) for packet in replay.recorded if id_of(packet) not in UNMODELLED]
    produced = [told_char(packet) for packet in replay.produced]
    for n, (want, got) in enumerate(zip(expected, produced, strict=False)):
        assert got == want, f"packet {n} of {len(expected)}"
    assert len(produced) == len(expected) > 0


@pytest.mark.parametrize(("scenario", "node"), RECORDED)
def test_the_twin_frames_its_clients_sessions_as_the_recorded_map_server_did(scenario: str, node: str) -> None:
    replay = MapReplay(scenario, node).run()

    for leg, (recorded, produced) in replay.clients.items():
        want = [told_client(packet) for packet in recorded if id_of(packet) in TO_CLIENT]
        got = [told_client(packet) for packet in produced if id_of(packet) in TO_CLIENT]
        assert got == want, leg


def test_every_session_of_the_recordings_is_among_them() -> None:
    legs = {(scenario, leg) for scenario, node in RECORDED for leg in MapReplay(scenario, node).run().clients}

    recorded = {(p.scenario, p.leg) for name in captured.scenarios() for p in captured.packets(name) if p.dir == "map>relay"}

    assert recorded - legs == set()


def test_players_are_autosaved_in_turn_as_often_as_recorded() -> None:
    saves = [p for p in captured.packets("s2_login_play_portal") if p.leg == "host/B" and p.packet_id == 0x2B01]
    alone = [p for p in saves if 10_000 < p.t_ms < 45_000]
    recorded_ms = [b.t_ms - a.t_ms for a, b in pairwise(alone)]

    twin = MapCore(MapConfig(maps=("prt_fild08",), autosave_ms=5_000))
    twin.start(0)
    twin.linked = twin.ready = True
    for who in map(person, range(3)):
        player = Player(who.account_id, who.char_id, 1, 1, None, phase=Phase.PLAYING, status=status_of(who, "prt_fild08", 1, 1))
        player.storages = {table: empty_storage(table, who.char_id) for table in (1, 2, 3)}
        twin.players[who.account_id] = player
    twin_ms, order = [], []
    for t_ms in range(0, 20_000, 10):
        for effect in twin.advance(t_ms):
            if id_of(effect.data) == 0x2B01:  # type: ignore[union-attr]
                twin_ms.append(t_ms)
                order.append(int.from_bytes(effect.data[4:8], "little"))  # type: ignore[union-attr]

    assert [b - a for a, b in pairwise(twin_ms)][:6] == [1_250, 1_250, 2_500] * 2
    assert {1_250 * round(gap_ms / 1_250) for gap_ms in recorded_ms} == {1_250, 2_500}
    assert order[:6] == [2_000_001, 2_000_002, 2_000_003] * 2
    assert len(alone) == pytest.approx(3 * 35_000 / 5_000, abs=2)
