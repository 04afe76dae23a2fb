"""A packet's owner is the player it is about."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena import inter
from libs.rathena.keys import NOBODY, Key, key_of
from libs.rathena.layout import shipped
from libs.rathena.packets import BadPacket
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR, TABLES, Table
from tests.rathena import captured

ACCOUNTS = {2_000_001, 2_000_002, 2_000_003}
CHARS = {150_001, 150_002, 150_003}
NAMES = {b"LabOne", b"LabTwo", b"LabThree"}


@pytest.mark.parametrize("scenario", captured.scenarios())
def test_owners_of_recorded_packets_are_the_players_of_the_recording(scenario: str) -> None:
    keys = [(packet, key_of(packet.table, packet.packet)) for packet in captured.packets(scenario)]

    for packet, key in keys:
        where = packet.table.title(packet.packet_id)
        assert key.account_id is None or key.account_id in ACCOUNTS, where
        assert key.char_id is None or key.char_id in CHARS or packet.packet_id == 0x3821, where
        if key.account_id and key.char_id:
            assert key.account_id - 2_000_000 == key.char_id - 150_000, where


def test_a_save_names_both_and_its_answers_one() -> None:
    save = captured.every(0x308B, "gw>char")[0].packet
    saved = captured.every(0x388B, "char>gw")[0].packet
    quests = captured.every(0x3060, "gw>char")[0].packet

    assert key_of(MAP_TO_CHAR, save).char_id in CHARS
    assert key_of(CHAR_TO_MAP, saved) == Key(account_id=int.from_bytes(saved[2:6], "little"))
    assert key_of(MAP_TO_CHAR, quests) == Key(char_id=int.from_bytes(quests[2:6], "little"))


def test_offline_says_the_character_before_the_account() -> None:
    packet = inter.CharOffline(char_id=150_001, account_id=2_000_001).pack()

    assert packet.hex() == "172bf14902008184" + "1e00"
    assert key_of(MAP_TO_CHAR, packet) == Key(2_000_001, 150_001)


def test_a_whisper_is_keyed_by_name() -> None:
    whispers = captured.every(0x3801, "char>gw") + captured.every(0x3802, "char>gw")

    assert {key_of(CHAR_TO_MAP, p.packet).name for p in whispers} & NAMES


def test_a_member_who_joins_is_found_inside_the_struct() -> None:
    joined = [p for packet_id in (0x3020, 0x3022, 0x3032) for p in captured.every(packet_id, "gw>char")]

    assert {key_of(MAP_TO_CHAR, p.packet).char_id for p in joined} <= CHARS
    assert len(joined) >= 3


@pytest.mark.parametrize(
    ("table", "packet_id", "struct_at", "struct_name", "account", "char"),
    [
        (MAP_TO_CHAR, 0x3020, 30, "party_member", "account_id", "char_id"),
        (MAP_TO_CHAR, 0x3022, 8, "party_member", "account_id", "char_id"),
        (MAP_TO_CHAR, 0x3032, 8, "guild_member", "account_id", "char_id"),
        (MAP_TO_CHAR, 0x304D, 8, "mail_message", None, "send_id"),
        (MAP_TO_CHAR, 0x3051, 4, "auction_data", None, "seller_id"),
        (MAP_TO_CHAR, 0x3070, 4, "s_mercenary", None, "char_id"),
        (MAP_TO_CHAR, 0x3073, 4, "s_mercenary", None, "char_id"),
        (MAP_TO_CHAR, 0x307C, 4, "s_elemental", None, "char_id"),
        (MAP_TO_CHAR, 0x307F, 4, "s_elemental", None, "char_id"),
        (CHAR_TO_MAP, 0x384D, 4, "mail_message", None, "send_id"),
        (CHAR_TO_MAP, 0x3851, 4, "auction_data", None, "seller_id"),
        (CHAR_TO_MAP, 0x3870, 5, "s_mercenary", None, "char_id"),
        (CHAR_TO_MAP, 0x387C, 5, "s_elemental", None, "char_id"),
    ],
)
def test_keys_inside_a_struct_are_where_the_layout_has_them(
    table: Table, packet_id: int, struct_at: int, struct_name: str, account: str | None, char: str
) -> None:
    kind, fields = table.kind(packet_id), shipped().structs[struct_name].fields

    assert kind.char_at == struct_at + fields[char].offset
    assert account is None or kind.account_at == struct_at + fields[account].offset


def test_keepalives_belong_to_nobody() -> None:
    assert key_of(MAP_TO_CHAR, inter.Keepalive().pack()) is NOBODY


@given(table=st.sampled_from(TABLES), number=st.integers(0, 0xFFFF), body=st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_bad_packet(table: Table, number: int, body: bytes) -> None:
    numbers = sorted(table.kinds)
    packet = numbers[number % len(numbers)].to_bytes(2, "little") + body
    try:
        assert isinstance(key_of(table, packet), Key)
    except BadPacket:
        assert len(packet) < 60


def test_an_id_of_no_table_is_refused() -> None:
    with pytest.raises(BadPacket, match="unknown in map_to_char"):
        key_of(MAP_TO_CHAR, b"\xff\xff")
    with pytest.raises(BadPacket):
        key_of(MAP_TO_CHAR, b"")
