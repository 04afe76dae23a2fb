"""What a map-server's link tells of it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.rathena.framing import BadStream
from libs.rathena.inter_chars import CharOffline
from libs.rathena.inter_link import MapsAck, RegisterUsers
from libs.rathena.inter_saves import SaveAck
from libs.rathena.tables import CHAR_TO_MAP
from services.agent.maps.stream import ENTERED, MOVED_AWAY, StreamWatch


def entered(account_id: int) -> bytes:
    body = bytearray(8_881)
    body[:8] = ENTERED.to_bytes(2, "little") + len(body).to_bytes(2, "little") + account_id.to_bytes(4, "little")
    return bytes(body)


def moved_away(account_id: int, *, accepted: bool) -> bytes:
    body = bytearray(CHAR_TO_MAP.lengths[MOVED_AWAY])
    body[:10] = MOVED_AWAY.to_bytes(2, "little") + account_id.to_bytes(4, "little") + int(accepted).to_bytes(4, "little")
    return bytes(body)


@pytest.fixture
def watch() -> StreamWatch:
    return StreamWatch()


def test_it_is_linked_when_its_maps_are_taken(watch: StreamWatch) -> None:
    packet = MapsAck(whisper_name=bytes(24), server_name=bytes(24)).pack()

    watch.down(packet[:3])
    assert not watch.linked
    watch.down(packet[3:])

    assert watch.linked


def test_players_are_counted_from_their_entry_to_the_acknowledged_last_save(watch: StreamWatch) -> None:
    for account_id in (1, 2, 3, 4):
        watch.down(entered(account_id))
    assert watch.accounts == {1, 2, 3, 4}
    watch.down(SaveAck(account_id=1, char_id=11).pack())
    assert watch.accounts == {2, 3, 4}
    watch.down(moved_away(2, accepted=False) + moved_away(3, accepted=True))
    watch.up(CharOffline(account_id=4, char_id=14).pack())

    assert watch.accounts == {2}


def test_a_server_that_links_again_says_whom_it_has(watch: StreamWatch) -> None:
    watch.down(entered(9))

    watch.up(RegisterUsers.of([(5, 15), (6, 16)]).pack())

    assert watch.accounts == {5, 6}


def test_what_is_no_such_stream_is_refused(watch: StreamWatch) -> None:
    with pytest.raises(BadStream):
        watch.up(b"GET / HTTP/1.1\r\n")


@given(st.binary(max_size=600), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, up: bool) -> None:
    watch = StreamWatch()

    with contextlib.suppress(BadStream):
        (watch.up if up else watch.down)(data)
    assert not watch.linked or (not up and b"\xfb\x2a" in data)
