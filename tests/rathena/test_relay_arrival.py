"""A client's first bytes: a PROXY header, 0436, or nonsense; no I/O, no clock."""

import struct
from ipaddress import ip_address

import pytest

from libs.link.messages import (
    Arrived,
    Closed,
    Loaded,
    Refuse,
)
from services.relay.effects import EndClient, From
from services.relay.proxy import V2_START, BadHeader, parse
from tests.rathena.relay_words import (
    ACCOUNT,
    CHAR,
    ENTER,
    LOADED,
    LOGIN_ID1,
    SHOWN,
    TICK,
    WALK,
    Play,
    dismissed,
    welcome,
)

UNKNOWN = b"\xff\xff\0\0"


def loaded(switch: int, place: tuple[str, int, int] = ("prontera", 100, 200), ms: float = 0.0) -> Loaded:
    return Loaded(conn=1, switch=switch, map=place[0], x=place[1], y=place[2], ms=ms)


# -- arriving -------------------------------------------------------------------------------------------------------------


def test_a_client_that_says_0436_is_announced_with_its_ids_and_its_address():
    play = Play()

    play.from_client(ENTER)

    arrived = Arrived(conn=1, account_id=ACCOUNT, char_id=CHAR, login_id1=LOGIN_ID1, sex=1, client_ip=bytes([192, 0, 2, 7]))
    assert play.taken() == (b"", b"", [arrived], [])


def test_another_first_packet_ends_the_connection_and_the_bridge_never_hears_of_it():
    play = Play()

    play.from_client(WALK)

    assert play.taken() == (b"", b"", [], [EndClient("its first packet is 035f")])


def test_a_first_packet_that_does_not_come_in_time_ends_the_connection():
    play = Play()

    play.from_client(ENTER[:22])
    play.after(10_000)
    before = play.taken()
    play.after(1)

    assert before == (b"", b"", [], [])
    assert play.taken() == (b"", b"", [], [EndClient("no first packet in time")])


def test_what_a_client_says_before_it_is_placed_goes_to_nobody():
    play = Play()

    play.from_client(ENTER + WALK + TICK[:3])
    play.open()
    play.from_server(welcome())
    play.from_client(TICK[3:] + LOADED)

    assert play.server == SHOWN + TICK + LOADED


def test_a_client_that_nobody_places_is_told_after_the_hold_time():
    play = Play()
    play.from_client(ENTER)
    play.taken()

    play.after(30_001)

    client, _, told, rest = play.taken()
    assert client == dismissed(1)
    assert told == [Closed(conn=1, reason="held too long")]
    assert rest == [EndClient("held too long")]


def test_a_refused_client_gets_the_code_and_is_closed():
    play = Play()
    play.from_client(ENTER)
    play.taken()

    play.from_bridge(Refuse(conn=1, code=2))

    assert play.taken() == (dismissed(2), b"", [Closed(conn=1, reason="refused")], [EndClient("refused")])


# -- PROXY ----------------------------------------------------------------------------------------------------------------


def v2(address: str, command: int = 0x21, more: bytes = b"") -> bytes:
    ip = ip_address(address)
    body = ip.packed * 2 + struct.pack(">HH", 4000, 5120) + more
    return V2_START + bytes([command, 0x11 if ip.version == 4 else 0x21]) + struct.pack(">H", len(body)) + body


HEADERS = [
    (b"PROXY TCP4 192.0.2.9 192.0.2.1 4000 5120\r\n", "192.0.2.9"),
    (b"PROXY TCP6 2001:db8::9 2001:db8::1 4000 5120\r\n", "2001:db8::9"),
    (b"PROXY UNKNOWN\r\n", None),
    (v2("192.0.2.9"), "192.0.2.9"),
    (v2("2001:db8::9", more=b"\x04\x00\x01x"), "2001:db8::9"),
    (v2("192.0.2.9", command=0x20), None),
]


@pytest.mark.parametrize(("header", "address"), HEADERS)
def test_a_header_is_read_when_it_is_whole_and_no_earlier(header: bytes, address: str | None):
    partial = [parse(header[:size]) for size in range(len(header))]

    assert partial == [None] * len(header)
    assert parse(header + ENTER) == (address, len(header))


@pytest.mark.parametrize(
    "nonsense",
    [
        ENTER,
        b"PROXY" + b"x" * 10,
        b"PROXY " + b"x" * 200,
        b"PROXY UDP4 192.0.2.9 192.0.2.1 4000 5120\r\n",
        b"PROXY TCP4 nobody 192.0.2.1 4000 5120\r\n",
        b"PROXY TCP4\r\n",
        V2_START + b"\x31\x11\x00\x0c" + bytes(12),
        V2_START + b"\x21\x31\x00\x0c" + bytes(12),
        V2_START + b"\x21\x11\x00\x04" + bytes(4),
        V2_START + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_header_is_refused(nonsense: bytes):
    with pytest.raises(BadHeader):
        parse(nonsense)


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_client_behind_a_balancer_has_the_address_of_the_header(size: int):
    play = Play(address=None)
    stream = HEADERS[0][0] + ENTER

    for at in range(0, len(stream), size):
        play.from_client(stream[at : at + size])

    (arrived,) = play.told
    assert play.effects == [From("192.0.2.9")]
    assert isinstance(arrived, Arrived)
    assert arrived.client_ip == bytes([192, 0, 2, 9])


def test_a_client_without_the_header_that_is_due_is_closed():
    play = Play(address=None)

    play.from_client(ENTER)

    assert play.effects == [EndClient("no PROXY header")]
